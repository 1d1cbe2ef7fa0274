#include "frontend-headless/bench.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "core/log.h"
#include "core/machine/engine_probe.h"
#include "frontend-headless/bench_report.h"
#include "frontend-headless/bench_suites.h"

namespace vireo {

namespace {

std::vector<std::string> split(const std::string& words) {
  std::vector<std::string> list;
  std::istringstream stream(words);
  for (std::string word; std::getline(stream, word, ',');) {
    if (!word.empty()) list.push_back(word);
  }
  return list;
}

struct SuiteRow {
  std::string_view name;
  Suite run;
};
constexpr SuiteRow kSuites[] = {{"nano", run_nano_suite}, {"macro", run_macro_suite}};
constexpr std::string_view kEngines[] = {"native", "interp", "bt", "hw"};

Error usage(std::string sentence) {
  return {std::move(sentence), ExitStatus::kUsage};
}

Result<std::vector<std::string>> choose_engines(const BenchOptions& options) {
  const bool has_kvm = judge_hardware_assist({}).usable;
  std::vector<std::string> engines = split(options.engines);
  for (const std::string& engine : engines) {
    if (std::find(std::begin(kEngines), std::end(kEngines), engine) == std::end(kEngines))
      return usage(fmt::format("--engines {}: there are native, interp, bt, hw", engine));
    if (engine == "hw" && !has_kvm) {
      return Error{fmt::format("--engines hw: KVM is {}", judge_hardware_assist({}).sentence),
                   ExitStatus::kHostCannot};
    }
  }
  if (engines.empty()) {
    engines = {"native", "bt", "interp"};
    if (has_kvm) engines.insert(engines.begin() + 2, "hw");
  }
  if (options.compare_qemu) {
    engines.push_back("qemu-tcg");
    if (access("/dev/kvm", R_OK | W_OK) == 0) engines.push_back("qemu-kvm");
  }
  return engines;
}

Result<std::vector<SuiteRow>> choose_suites(const BenchOptions& options) {
  std::vector<SuiteRow> suites;
  for (const std::string& name : split(options.suites)) {
    const auto found = std::find_if(std::begin(kSuites), std::end(kSuites),
                                    [&](const SuiteRow& s) { return s.name == name; });
    if (found == std::end(kSuites)) return usage(fmt::format("--suite {}: there are nano, macro", name));
    if (name == "macro" && options.kernel.empty()) {
      notice("the macro suite is left out: give it a Linux kernel for i386 with --kernel");
      continue;
    }
    suites.push_back(*found);
  }
  if (suites.empty())
    return usage("there is nothing to measure: --suite nano needs nothing, --suite macro a --kernel");
  return suites;
}

Result<void> write_file(const std::string& path, const std::string& text,
                        std::ios::openmode how = std::ios::trunc) {
  if (path.empty()) return {};
  std::ofstream file(path, std::ios::binary | how);
  file << text;
  file.close();
  if (!file) return usage(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  return {};
}

Result<void> run_all(const BenchOptions& options) {
  auto engines = choose_engines(options);
  if (!engines) return engines.error();
  auto suites = choose_suites(options);
  if (!suites) return suites.error();
  // Before anything is measured for nothing; what is there stays until there is something better.
  for (const std::string& path : {options.json, options.csv, options.chart}) {
    if (auto can = write_file(path, "", std::ios::app); !can) return can;
  }
  const BenchHost host = BenchHost::here();
  std::vector<BenchRow> rows;
  for (const SuiteRow& suite : suites.value()) {
    for (const std::string& engine : engines.value()) {
      notice(fmt::format("bench: {} on {}", suite.name, engine));
      auto measured = suite.run(engine, options, host);
      if (!measured) {
        notice(fmt::format("bench: {} on {} is left out: {}", suite.name, engine, measured.error().message));
        continue;
      }
      std::move(measured.value().begin(), measured.value().end(), std::back_inserter(rows));
    }
  }
  if (rows.empty()) return Error{"nothing could be measured", ExitStatus::kHostCannot};
  const std::string table = bench_table(host, rows);
  std::fwrite(table.data(), 1, table.size(), stdout);
  if (std::fflush(stdout) != 0)
    return usage(fmt::format("cannot write to standard output: {}", std::strerror(errno)));
  if (auto done = write_file(options.json, bench_json(host, rows)); !done) return done;
  if (auto done = write_file(options.csv, bench_csv(rows)); !done) return done;
  return write_file(options.chart, bench_chart(host, rows));
}

}  // namespace

bool is_wanted(const BenchOptions& options, std::string_view row) {
  const std::vector<std::string> only = split(options.only);
  return only.empty() || std::find(only.begin(), only.end(), row) != only.end();
}

void add_bench_options(CLI::App& app, BenchOptions& o) {
  app.add_option("--suite", o.suites,
                 "What is measured: nano (single operations, bare metal), macro (programs in Linux)")
      ->type_name("NAME,NAME");
  app.add_option("--engines", o.engines, "native, interp, bt, hw; all that there are if not given")
      ->type_name("NAME,NAME");
  app.add_option("--only", o.only, "These rows")->type_name("NAME,NAME");
  app.add_option("--samples", o.samples, "Of a row (default 5)")->check(CLI::Range(1, 100))->type_name("N");
  app.add_option("--sample-us", o.sample_us, "Time of a sample of the nano suite, at least (default 10000)")
      ->check(CLI::Range(100, 10'000'000))
      ->type_name("US");
  app.add_option("--kernel", o.kernel, "For macro: a Linux bzImage for i386")->type_name("FILE");
  app.add_option("--guest", o.guest, "For macro: vireo-bench-guest (default: where it is built)")
      ->type_name("FILE");
  app.add_flag("--compare-qemu", o.compare_qemu,
               "qemu-system-i386, too: accelerator tcg, and kvm where /dev/kvm is");
  app.add_option("--json", o.json, "All figures: an object with host and rows")->type_name("FILE");
  app.add_option("--csv", o.csv, "Medians and spreads")->type_name("FILE");
  app.add_option("--chart", o.chart, "An SVG")->type_name("FILE");
}

int bench_command(const BenchOptions& options) {
  const Result<void> done = run_all(options);
  if (done) return 0;
  notice(done.error().message);
  return static_cast<int>(done.error().status);
}

}  // namespace vireo
