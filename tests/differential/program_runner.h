// Runs programs on an oracle engine, on other engines in several ways, and on the host CPU, and compares.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tests/differential/compat_cpu.h"
#include "tests/differential/engine_cpu.h"
#include "tests/differential/program.h"
#include "tests/differential/rng.h"
#include "tests/engines/watchdog.h"

namespace vireo::diff {

class ProgramRunner {
 public:
  /// How often something happened; for the summary, and to see that the generator makes what it should.
  struct Counters {
    uint64_t programs = 0, instructions = 0, native = 0, failures = 0;
    uint64_t to_the_end = 0;  ///< to the INT3 behind the program
    uint64_t endless = 0;
  };

  /// `native` may be null. The oracle is compared with all others.
  ProgramRunner(EngineCpu& oracle, std::vector<EngineCpu*> engines, CompatCpu* native,
                testing::Watchdog& watchdog, uint64_t seed);

  /// Program `number` of the seed; false if something differs, which is then described on stdout.
  bool run_program(uint64_t number);

  /// Prints every program.
  bool show = false;

  const Counters& counters() const { return counters_; }

 private:
  struct Failure {
    std::string who;
    std::string text;  ///< the differences, side by side
  };
  /// What the oracle says.
  struct Trace {
    uint64_t retired = 0;
    bool ended = false;
    bool for_native = true;  ///< the host CPU may run it, and nothing in it is known to differ
    Outcome outcome;
    uint32_t last_linear = 0;  ///< where the last instruction was
  };

  void put_code(uint32_t linear, std::span<const uint8_t> bytes);
  void clear_code();
  void load(const Program& program, const Assembly& assembly);
  void plant_data(std::span<uint8_t> memory, const Program& program, const Assembly& assembly) const;
  void start(EngineCpu& cpu, const Program& program, const Assembly& assembly) const;
  /// Loads the program, too.
  Trace trace(const Program& program, const Assembly& assembly);
  bool prune(Program& program, Assembly& assembly, Trace& result);

  /// `seed`: of where runs are cut.
  std::optional<Failure> check(uint64_t seed, const Program& program, const Assembly& assembly,
                               const Trace& result);
  std::optional<Failure> check_engine(Rng& rng, EngineCpu& engine, const Program& program,
                                      const Assembly& assembly, const Trace& result);
  std::optional<Failure> check_native(const Program& program, const Assembly& assembly, const Trace& result);
  std::optional<Failure> compare_with_oracle(const EngineCpu& engine, const std::string& how) const;
  void shrink(uint64_t seed, Program& program, Assembly& assembly, Failure& failure);
  void report(uint64_t number, const Program& program, const Assembly& assembly,
              const Failure& failure) const;

  EngineCpu& oracle_;
  std::vector<EngineCpu*> engines_;
  CompatCpu* native_;
  testing::Watchdog& watchdog_;
  const uint64_t seed_;
  std::vector<uint8_t> pristine_;
  uint32_t code_linear_ = 0;
  size_t code_bytes_ = 0;  ///< what load() has put there
  Counters counters_;
};

}  // namespace vireo::diff
