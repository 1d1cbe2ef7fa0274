// test_differential: see README.md.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "core/isa/cpuid.h"
#include "core/isa/insn_row.h"
#include "tests/differential/engine_cpu.h"
#include "tests/differential/known_differences.h"
#include "tests/differential/native_cpu.h"
#include "tests/differential/oracles.h"
#include "tests/differential/row_pool.h"
#include "tests/differential/runner.h"
#include "tests/engines/engines.h"
#include "tests/engines/watchdog.h"

namespace vireo::diff {
namespace {

struct Options {
  std::vector<std::string> engines;
  std::string native = "auto";
  uint64_t seed = 1;
  std::string row;
  int64_t one_case = -1;
  uint64_t cases_per_row = 500;
  double time_s = 0;
  uint64_t reports_per_row = 1;
  std::string known = VIREO_DIFFERENTIAL_KNOWN;
};

struct Entry {
  const isa::InsnRow* row;
  std::string title;
  RowResult result;
};

/// Rows that both CPUs have (or both lack), as far as `only` names them.
std::vector<Entry> choose_rows(const std::string& only, KnownDifferences& known) {
  std::vector<Entry> chosen;
  unsigned newer = 0, long_mode = 0;
  for (const isa::InsnRow& row : isa::rows()) {
    const std::string title = row_title(row);
    if (!only.empty() && only != row.name() && only != title) continue;
    constexpr unsigned kLegacyModes = 1;
    if (!(row.encoding.modes & kLegacyModes)) {
      long_mode++;
      continue;
    }
    if (!comparable(row)) {
      newer++;
      continue;
    }
    if (const auto why = known.why_skipped(row); !why.empty()) {
      fmt::print("not run: {} ({})\n", title, why);
      continue;
    }
    chosen.push_back({&row, title, {}});
  }
  fmt::print("{} rows; not run: {} of long mode, {} that the host has and Vireo's CPUs do not\n",
             chosen.size(), long_mode, newer);
  return chosen;
}

void run_rows(const Options& options, Runner& runner, std::vector<Entry>& rows) {
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed_s = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  uint64_t first = 0;
  do {
    for (Entry& entry : rows) {
      for (uint64_t i = 0; i < options.cases_per_row; i++) {
        runner.run_case(*entry.row, first + i, entry.result, options.reports_per_row);
      }
    }
    first += options.cases_per_row;
  } while (elapsed_s() < options.time_s);
  fmt::print("\n{:.1f} s\n", elapsed_s());
}

bool any_left_out(const RowResult& result) {
  return std::ranges::any_of(result.left_out, [](uint64_t n) { return n != 0; });
}

/// So that nobody takes the cases for all that there are.
void summarise_left_out(const std::vector<Entry>& rows) {
  for (size_t why = 1; why < kLeftOutTexts.size(); why++) {
    uint64_t count = 0;
    std::vector<std::string_view> whole;
    for (const Entry& entry : rows) {
      count += entry.result.left_out[why];
      const auto most = std::ranges::max_element(entry.result.left_out) - entry.result.left_out.begin();
      if (entry.result.cases == 0 && entry.result.left_out[why] != 0 && most == static_cast<ptrdiff_t>(why))
        whole.push_back(entry.title);
    }
    if (count == 0) continue;
    fmt::print("left out: {} ({})\n", count, kLeftOutTexts[why]);
    if (!whole.empty()) fmt::print("  all of {}: {}\n", whole.size(), fmt::join(whole, "; "));
  }
}

int summarise(const Options& options, const Runner& runner, const std::vector<Entry>& rows,
              const KnownDifferences& known) {
  uint64_t cases = 0, failed_rows = 0, failures = 0;
  int status = 0;
  for (const Entry& entry : rows) {
    cases += entry.result.cases;
    failures += entry.result.failures;
    if (entry.result.cases == 0 && !any_left_out(entry.result)) {
      fmt::print("NO CASE {}: the decoder takes none of its encodings for this row\n", entry.title);
      status = 1;
    }
    if (entry.result.failures == 0) continue;
    failed_rows++;
    std::string keys;
    for (const auto& [key, count] : entry.result.keys) keys += fmt::format(" {}:{}", key, count);
    fmt::print("FAILED {}: {} of {} cases;{}\n", entry.title, entry.result.failures, entry.result.cases,
               keys);
  }
  std::string ends = fmt::format("completed {}", runner.completed());
  for (unsigned vector = 0; vector < 256; vector++) {
    if (runner.exceptions()[vector])
      ends += fmt::format(", exception {} {}", vector, runner.exceptions()[vector]);
  }
  fmt::print("natively: {}\n", ends);
  summarise_left_out(rows);
  if (options.row.empty()) {
    for (const std::string& line : known.unused()) {
      fmt::print("UNUSED {}\n", line);
      status = 1;
    }
  }
  if (NativeCpu::fs_bases_lost() != 0)
    fmt::print("FS bases lost, and given back: {}\n", NativeCpu::fs_bases_lost());
  if (runner.not_repeatable() != 0)
    fmt::print("on the host CPU not twice the same: {}\n", runner.not_repeatable());
  fmt::print("{} rows, {} cases, seed {}: {} explained differences, {} unexplained in {} rows\n", rows.size(),
             cases, options.seed, runner.explained(), failures, failed_rows);
  return failures ? 1 : status;
}

int run_engine(const Options& options, NativeCpu& native, EngineCpu& engine, testing::Watchdog& watchdog) {
  auto known = KnownDifferences::load(options.known, native.name());
  if (!known) {
    fmt::print(stderr, "test_differential: {}\n", known.error().message);
    return static_cast<int>(known.error().status);
  }
  fmt::print("\nengine {}, native oracle {}\n", engine.engine(), native.name());
  auto rows = choose_rows(options.row, known.value());
  if (rows.empty()) {
    fmt::print(stderr, "test_differential: no row is called '{}'\n", options.row);
    return static_cast<int>(ExitStatus::kUsage);
  }
  Runner runner(native, engine, known.value(), watchdog, options.seed);
  if (options.one_case >= 0) {
    runner.run_case(*rows[0].row, static_cast<uint64_t>(options.one_case), rows[0].result, 1);
  } else {
    run_rows(options, runner, rows);
  }
  return summarise(options, runner, rows, known.value());
}

int run(Options options) {
  const bool any = !options.engines.empty();
  testing::drop_impossible_engines(options.engines);
  if (any && options.engines.empty()) return testing::kSkipped;
  const uint32_t cpu_number_limit = stay_on_this_cpu();
  std::vector<std::unique_ptr<EngineCpu>> engines;
  for (const std::string& name : options.engines) {
    if (!testing::is_engine(name)) {
      fmt::print(stderr, "test_differential: --engine {}: there are {}\n", name, testing::engine_name_list());
      return static_cast<int>(ExitStatus::kUsage);
    }
    auto engine = EngineCpu::create(name, cpu_number_limit, host_features());
    if (!engine) {
      fmt::print(stderr, "test_differential: {}\n", engine.error().message);
      return static_cast<int>(engine.error().status);
    }
    engines.push_back(engine.take());
  }
  auto native = make_native_cpu(options.native);
  if (!native && native.error().status == ExitStatus::kUsage) {
    fmt::print(stderr, "test_differential: {}\n", native.error().message);
    return static_cast<int>(ExitStatus::kUsage);
  }
  if (!native) {
    fmt::print("skipped: {}\n", native.error().message);
    return testing::kSkipped;
  }
  testing::Watchdog watchdog(20);
  int status = 0;
  for (auto& engine : engines) {
    status = std::max(status, run_engine(options, *native.value(), *engine, watchdog));
  }
  return status;
}

}  // namespace
}  // namespace vireo::diff

int main(int argc, char** argv) {
  vireo::diff::Options options;
  CLI::App app("Runs every row of the instruction table on the host CPU and in the engines and compares.");
  for (std::string_view name : vireo::testing::engine_names()) options.engines.emplace_back(name);
  app.add_option("--engine", options.engines, "only these: " + vireo::testing::engine_name_list());
  app.add_option("--native", options.native, fmt::format("the native oracle: {}", vireo::diff::kOracleNames))
      ->capture_default_str();
  app.add_option("--seed", options.seed, "seed of all random choices")->capture_default_str();
  app.add_option("--row", options.row, "only this mnemonic, or this row ('ADD 00 /r: Eb, Gb')");
  app.add_option("--case", options.one_case, "only this case of the (first) row");
  app.add_option("--cases-per-row", options.cases_per_row, "tries per row (and per round)")
      ->capture_default_str();
  app.add_option("--time", options.time_s, "go on with further rounds for so many seconds");
  app.add_option("--reports-per-row", options.reports_per_row, "failures to describe in full")
      ->capture_default_str();
  app.add_option("--known", options.known, "the file of known differences")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  return vireo::diff::run(options);
}
