// test_programs: see README.md.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "core/isa/cpuid.h"
#include "tests/differential/compat_cpu.h"
#include "tests/differential/program_runner.h"
#include "tests/engines/engines.h"

namespace vireo::diff {
namespace {

struct Options {
  std::vector<std::string> engines;
  std::string oracle = "step";
  bool native = true;
  bool show = false;
  uint64_t seed = 1, first = 0, cases = 1000;
  int64_t one_case = -1;
  double time_s = 0;
  uint64_t most_failures = 3;
};

std::unique_ptr<EngineCpu> make_cpu(const std::string& engine, uint32_t cpu_number_limit) {
  if (!testing::is_engine(engine)) {
    fmt::print(stderr, "test_programs: engine {}: there are {}\n", engine, testing::engine_name_list());
    return nullptr;
  }
  auto cpu = EngineCpu::create(engine, cpu_number_limit, host_features());
  if (!cpu) {
    fmt::print(stderr, "test_programs: {}\n", cpu.error().message);
    return nullptr;
  }
  return cpu.take();
}

void run_programs(const Options& options, ProgramRunner& runner) {
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed_s = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  if (options.one_case >= 0) {
    runner.run_program(static_cast<uint64_t>(options.one_case));
    return;
  }
  uint64_t number = options.first;
  const auto enough = [&] {
    return number >= options.first + options.cases && elapsed_s() >= options.time_s;
  };
  while (!enough() && runner.counters().failures < options.most_failures) runner.run_program(number++);
  fmt::print("{:.1f} s\n", elapsed_s());
}

int run(Options options) {
  const bool any = !options.engines.empty();
  testing::drop_impossible_engines(options.engines);
  if (any && options.engines.empty()) return testing::kSkipped;
  const uint32_t cpu_number_limit = stay_on_this_cpu();
  std::vector<std::unique_ptr<EngineCpu>> cpus;
  std::vector<EngineCpu*> others;
  const auto oracle = make_cpu(options.oracle, cpu_number_limit);
  if (!oracle) return static_cast<int>(ExitStatus::kUsage);
  for (const std::string& name : options.engines) {
    if (name == options.oracle) continue;
    cpus.push_back(make_cpu(name, cpu_number_limit));
    if (!cpus.back()) return static_cast<int>(ExitStatus::kUsage);
    others.push_back(cpus.back().get());
  }
  std::unique_ptr<CompatCpu> native;
  if (options.native) {
    auto created = CompatCpu::create();
    if (created)
      native = created.take();
    else
      fmt::print("without the host CPU: {}\n", created.error().message);
  }
  testing::Watchdog watchdog(20);
  ProgramRunner runner(*oracle, others, native.get(), watchdog, options.seed);
  runner.show = options.show;
  run_programs(options, runner);
  const ProgramRunner::Counters& c = runner.counters();
  fmt::print(
      "{} programs, seed {}: {} to their end, {} endless, {} on the host CPU, {} instructions; {} failures\n",
      c.programs, options.seed, c.to_the_end, c.endless, c.native, c.instructions, c.failures);
  return c.failures ? 1 : 0;
}

}  // namespace
}  // namespace vireo::diff

int main(int argc, char** argv) {
  vireo::diff::Options options;
  CLI::App app("Runs random programs on the engines and on the host CPU and compares.");
  for (std::string_view name : vireo::testing::engine_names()) options.engines.emplace_back(name);
  app.add_option("--engine", options.engines, "only these: " + vireo::testing::engine_name_list());
  app.add_option("--oracle", options.oracle, "the engine that is right")->capture_default_str();
  app.add_flag("--native,!--no-native", options.native, "compare with the host CPU, too");
  app.add_flag("--show", options.show, "print the programs");
  app.add_option("--seed", options.seed, "seed of all random choices")->capture_default_str();
  app.add_option("--case", options.one_case, "only this program");
  app.add_option("--first", options.first, "number of the first program")->capture_default_str();
  app.add_option("--cases", options.cases, "programs")->capture_default_str();
  app.add_option("--time", options.time_s, "go on for so many seconds");
  app.add_option("--failures", options.most_failures, "stop after so many")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  return vireo::diff::run(options);
}
