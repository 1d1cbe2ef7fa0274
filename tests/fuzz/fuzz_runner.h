// Runs cases on an oracle engine and on others, and compares.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/engines/watchdog.h"
#include "tests/fuzz/fuzz_machine.h"

namespace vireo::fuzz {

class FuzzRunner {
 public:
  struct Options {
    std::string oracle = "interp";
    std::vector<std::string> engines;
    uint64_t seed = 1;
    uint64_t most_instructions = 1000;
    bool show = false;  ///< print each case
  };
  /// Plain memory: it is shared between processes.
  struct Counters {
    uint64_t current = 0;  ///< the case that is running
    uint64_t cases = 0, instructions = 0, failures = 0, shutdowns = 0, halts = 0;
    uint64_t endless = 0;  ///< faults or REP without end: compared until then
    std::array<uint64_t, kModes> modes{};
    std::atomic<bool> stop = false;  ///< end after the current case
  };

  /// `first`: number of the case that it begins with; what is reported says how to come to the same state.
  FuzzRunner(Options options, testing::Watchdog& watchdog, uint64_t first, Counters& counters);

  /// False if something differs; it is then described on stdout.
  bool run_case(uint64_t number);
  /// Looks around the guests' memory; false, with a line on stdout, if something is not as it was.
  bool check_canaries(uint64_t number);

 private:
  using Machines = std::vector<std::unique_ptr<FuzzMachine>>;  ///< the oracle first

  Machines make_machines() const;
  /// The differences, or nothing.
  std::optional<std::string> check(Machines& machines, const FuzzCase& c);
  std::optional<std::string> check_fresh(const FuzzCase& c);
  void shrink(FuzzCase& c, std::string& failure);
  void report(uint64_t number, const FuzzCase& c, const std::string& failure) const;
  /// Options that repeat this case alone, or after those that came before it.
  std::string alone(uint64_t number) const;
  std::string with_history(uint64_t number) const;

  const Options options_;
  testing::Watchdog& watchdog_;
  const std::vector<uint8_t> initial_ram_;
  Machines machines_;
  uint64_t first_;
  Counters& counters_;
};

}  // namespace vireo::fuzz
