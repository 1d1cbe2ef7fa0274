#include "frontend-headless/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace vireo {

namespace {

using Rows = std::span<const BenchRow>;

template <class Field>
std::vector<std::string> values_of(Rows rows, Field field) {
  std::vector<std::string> found;
  for (const BenchRow& row : rows) {
    const std::string value = field(row);
    if (std::find(found.begin(), found.end(), value) == found.end()) found.push_back(value);
  }
  return found;
}

std::vector<BenchRow> of_suite(Rows rows, const std::string& suite) {
  std::vector<BenchRow> found;
  std::copy_if(rows.begin(), rows.end(), std::back_inserter(found),
               [&](const BenchRow& r) { return r.suite == suite; });
  return found;
}

const BenchRow* find(Rows rows, const std::string& name, const std::string& engine) {
  const auto found = std::find_if(rows.begin(), rows.end(),
                                  [&](const BenchRow& r) { return r.name == name && r.engine == engine; });
  return found == rows.end() || found->samples.empty() ? nullptr : &*found;
}

/// Three digits, or all that are before the point.
std::string number(double value) {
  return value >= 100  ? fmt::format("{:.0f}", value)
         : value >= 10 ? fmt::format("{:.1f}", value)
                       : fmt::format("{:.2f}", value);
}

/// Columns on the screen, of UTF-8.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string markdown(const std::vector<std::vector<std::string>>& table) {
  std::string text;
  std::vector<size_t> widths(table[0].size());
  for (const auto& line : table) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], width_of(line[i]));
  }
  const auto add = [&](const std::vector<std::string>& line) {
    for (size_t i = 0; i < line.size(); ++i) text += fmt::format("| {:<{}} ", line[i], widths[i]);
    text += "|\n";
  };
  add(table[0]);
  for (const size_t width : widths) text += "|" + std::string(width + 2, '-');
  text += "|\n";
  std::for_each(table.begin() + 1, table.end(), add);
  return text;
}

std::string suite_table(Rows rows) {
  const std::vector<std::string> engines = bench_engines(rows);
  std::vector<std::vector<std::string>> table{{fmt::format("{}, {}", rows[0].suite, rows[0].unit)}};
  for (const std::string& engine : engines) table[0].push_back(engine);
  for (size_t i = 1; i < engines.size(); ++i)
    table[0].push_back(fmt::format("{} / {}", engines[i], engines[0]));
  for (const std::string& name : values_of(rows, [](const BenchRow& r) { return r.name; })) {
    std::vector<std::string> line{name};
    for (const std::string& engine : engines) {
      const BenchRow* row = find(rows, name, engine);
      line.push_back(
          row == nullptr ? "-" : fmt::format("{} ±{:.0f} %", number(row->median()), 100 * row->spread()));
    }
    const BenchRow* reference = find(rows, name, engines[0]);
    for (size_t i = 1; i < engines.size(); ++i) {
      const BenchRow* row = find(rows, name, engines[i]);
      const bool both = row != nullptr && reference != nullptr && reference->median() > 0;
      line.push_back(both ? number(row->median() / reference->median()) : "-");
    }
    table.push_back(std::move(line));
  }
  return markdown(table);
}

}  // namespace

std::vector<std::string> bench_engines(Rows rows) {
  return values_of(rows, [](const BenchRow& r) { return r.engine; });
}

std::string bench_table(const BenchHost& host, Rows rows) {
  std::string text = fmt::format("host: {}, TSC {:.0f} MHz, {}\nmitigations: {}\nKVM module: {}\n", host.cpu,
                                 host.tsc_hz / 1e6, host.kernel, host.mitigations, host.kvm_module);
  for (const std::string& suite : values_of(rows, [](const BenchRow& r) { return r.suite; }))
    text += "\n" + suite_table(of_suite(rows, suite));
  text += "\nFor each operation, or repetition:\n";
  for (const BenchRow& row : rows) {
    if (!row.skipped.empty())
      text += fmt::format("- {} on {}: not measured: {}\n", row.name, row.engine, row.skipped);
    if (row.counters.empty()) continue;
    std::vector<std::pair<double, std::string>> most;
    for (const auto& [name, each] : row.counters) most.emplace_back(each, name);
    std::sort(most.rbegin(), most.rend());
    text += fmt::format("- {} on {}:", row.name, row.engine);
    for (size_t i = 0; i < std::min<size_t>(3, most.size()); ++i)
      text += fmt::format("{} {} {}", i == 0 ? "" : ",", number(most[i].first), most[i].second);
    text += "\n";
  }
  return text;
}

std::string bench_json(const BenchHost& host, Rows rows) {
  nlohmann::json list = nlohmann::json::array();
  for (const BenchRow& row : rows) {
    nlohmann::json json = {
        {"suite", row.suite}, {"name", row.name}, {"engine", row.engine}, {"unit", row.unit}};
    if (row.samples.empty()) {
      json["skipped"] = row.skipped;
    } else {
      json["median"] = row.median();
      json["spread"] = row.spread();
      json["samples"] = row.samples;
      json["counters"] = row.counters;
    }
    list.push_back(std::move(json));
  }
  const nlohmann::json all = {{"host",
                               {{"cpu", host.cpu},
                                {"tsc_hz", host.tsc_hz},
                                {"kernel", host.kernel},
                                {"mitigations", host.mitigations},
                                {"kvm_module", host.kvm_module}}},
                              {"rows", std::move(list)}};
  return all.dump(2) + "\n";
}

std::string bench_csv(Rows rows) {
  std::string text = "suite,name,engine,unit,median,spread\n";
  for (const BenchRow& row : rows) {
    if (row.samples.empty()) continue;
    text += fmt::format("{},{},{},{},{},{}\n", row.suite, row.name, row.engine, row.unit, row.median(),
                        row.spread());
  }
  return text;
}

}  // namespace vireo
