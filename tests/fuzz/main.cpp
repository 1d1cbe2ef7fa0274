// test_fuzz: see README.md.

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <new>

#include "core/check.h"
#include "core/log.h"
#include "tests/engines/engines.h"
#include "tests/fuzz/fuzz_runner.h"

// What the options below do is in README.md.
extern "C" const char* __asan_default_options() {
  return "handle_segv=0:handle_sigfpe=0:allow_user_segv_handler=1:use_sigaltstack=0:abort_on_error=1:"
         "detect_leaks=0";
}
extern "C" const char* __ubsan_default_options() {
  return "print_stacktrace=1:abort_on_error=1";
}

namespace vireo::fuzz {
namespace {

using Clock = std::chrono::steady_clock;

struct Limits {
  double seconds = 5;
  uint64_t first = 0, cases = ~uint64_t{0};
  int64_t one_case = -1;
  uint64_t most_failures = 3;
  unsigned hang_s = 20;
};

/// Cases that run one after the other on the same machines, in a process of their own. More would make a case
/// that fails only with its history harder to repeat.
constexpr uint64_t kBatch = 1000;

/// Of the process that starts the others: SIGTERM and SIGINT end the run, with its summary.
FuzzRunner::Counters* stoppable = nullptr;

void stop_on_signals(FuzzRunner::Counters& counters) {
  stoppable = &counters;
  struct sigaction action {};
  action.sa_handler = [](int) { stoppable->stop = true; };
  action.sa_flags = SA_RESTART;
  for (int signal : {SIGTERM, SIGINT}) sigaction(signal, &action, nullptr);
}

void leave_signals_to_parent() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : {SIGTERM, SIGINT}) sigaddset(&set, signal);
  sigprocmask(SIG_BLOCK, &set, nullptr);
}

void run_batch(const FuzzRunner::Options& options, const Limits& limits, Clock::time_point end,
               uint64_t first, uint64_t past, FuzzRunner::Counters& counters) {
  testing::Watchdog watchdog(limits.hang_s);
  FuzzRunner runner(options, watchdog, first, counters);
  constexpr uint64_t kCasesBetweenLooks = 100;
  uint64_t number = first;
  while (number < past && Clock::now() < end && counters.failures < limits.most_failures && !counters.stop) {
    runner.run_case(number++);
    if (number % kCasesBetweenLooks == 0 && !runner.check_canaries(number - 1)) return;
  }
  runner.check_canaries(number - 1);
}

/// In a process of its own, so that whatever ends it is known by its case, and is not the end.
void run_child(const FuzzRunner::Options& options, const Limits& limits, Clock::time_point end,
               uint64_t first, uint64_t past, FuzzRunner::Counters& counters) {
  std::fflush(stdout);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    leave_signals_to_parent();
    run_batch(options, limits, end, first, past, counters);
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  counters.failures++;
  fmt::print(
      "\n{} {} in a case: --seed {} --instructions {} --case {}, or with history: --first {} --cases {}\n",
      WIFSIGNALED(status) ? "signal" : "exit status",
      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), options.seed, options.most_instructions,
      counters.current, first, counters.current - first + 1);
}

int run(const FuzzRunner::Options& options, const Limits& limits) {
  void* shared =
      mmap(nullptr, sizeof(FuzzRunner::Counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  auto& counters = *new (shared) FuzzRunner::Counters;
  const auto start = Clock::now();
  const auto end =
      start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(limits.seconds));
  if (limits.one_case >= 0) {
    // In this process, for a debugger.
    const auto number = static_cast<uint64_t>(limits.one_case);
    run_batch(options, limits, Clock::time_point::max(), number, number + 1, counters);
  } else {
    const uint64_t past =
        limits.cases > ~uint64_t{0} - limits.first ? ~uint64_t{0} : limits.first + limits.cases;
    stop_on_signals(counters);
    counters.current = limits.first;
    for (uint64_t next = limits.first;
         next < past && Clock::now() < end && counters.failures < limits.most_failures && !counters.stop;) {
      const uint64_t batch_end = std::min(past, (next / kBatch + 1) * kBatch);
      run_child(options, limits, end, next, batch_end, counters);
      next = counters.current + 1;
    }
  }
  for (unsigned mode = 0; mode < kModes; mode++) {
    if (counters.modes[mode] != 0) fmt::print("  {:7} {}\n", counters.modes[mode], mode_name(mode));
  }
  fmt::print(
      "{} cases, seed {}, {:.1f} s: {} instructions, {} ended in HLT, {} in shutdown, {} without "
      "end; "
      "{} failures\n",
      counters.cases, options.seed, std::chrono::duration<double>(Clock::now() - start).count(),
      counters.instructions, counters.halts, counters.shutdowns, counters.endless, counters.failures);
  return counters.failures ? 1 : 0;
}

}  // namespace
}  // namespace vireo::fuzz

int main(int argc, char** argv) {
  using namespace vireo;
  fuzz::FuzzRunner::Options options;
  fuzz::Limits limits;
  CLI::App app("Runs random code in every mode on the engines and compares.");
  options.engines = {"bt", "bt-warm", "bt-window", "bt-trust"};
  app.add_option("--engine", options.engines, "only these: " + testing::engine_name_list());
  app.add_option("--oracle", options.oracle, "the engine that is right")->capture_default_str();
  app.add_option("--seed", options.seed, "seed of all random choices")->capture_default_str();
  app.add_option("--seconds", limits.seconds, "how long; without it, --cases has no limit of time")
      ->capture_default_str();
  app.add_option("--case", limits.one_case, "only this case");
  app.add_option("--first", limits.first, "number of the first case")->capture_default_str();
  app.add_option("--cases", limits.cases, "at most so many");
  app.add_option("--instructions", options.most_instructions, "most instructions of a case")
      ->capture_default_str();
  app.add_option("--failures", limits.most_failures, "stop after so many")->capture_default_str();
  app.add_option("--hang", limits.hang_s, "seconds after which a case is taken to hang")
      ->capture_default_str();
  std::string trace;
  app.add_option("--trace", trace,
                 "log categories, as for vireo; with --engine interp, only the oracle runs");
  app.add_flag("--show", options.show, "print the cases");
  CLI11_PARSE(app, argc, argv);
  if (app.count("--cases") != 0 && app.count("--seconds") == 0) limits.seconds = 1e6;
  if (auto enabled = enable_log_categories(trace); !trace.empty() && !enabled) {
    fmt::print(stderr, "test_fuzz: {}\n", enabled.error().message);
    return static_cast<int>(ExitStatus::kUsage);
  }
  for (const std::string& name : options.engines) {
    if (!testing::is_engine(name) || !testing::is_engine(options.oracle)) {
      fmt::print(stderr, "test_fuzz: there are the engines {}\n", testing::engine_name_list());
      return static_cast<int>(ExitStatus::kUsage);
    }
  }
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  const bool any = !options.engines.empty();
  testing::drop_impossible_engines(options.engines);
  if (any && options.engines.empty()) return testing::kSkipped;
  return fuzz::run(options, limits);
}
