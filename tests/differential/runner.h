// Runs cases on both sides and keeps the books.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/isa/insn_row.h"
#include "tests/differential/case_generator.h"
#include "tests/differential/engine_cpu.h"
#include "tests/differential/known_differences.h"
#include "tests/differential/native_cpu.h"
#include "tests/engines/watchdog.h"

namespace vireo::diff {

struct RowResult {
  uint64_t cases = 0;
  std::array<uint64_t, kLeftOutTexts.size()> left_out{};  ///< beyond `cases`, by LeftOut
  uint64_t failures = 0;
  std::map<std::string, uint64_t> keys;  ///< of unexplained differences
};

class Runner {
 public:
  Runner(NativeCpu& native, EngineCpu& engine, KnownDifferences& known, testing::Watchdog& watchdog,
         uint64_t seed);

  /// One case; false if the row and this number make none. A failure is described on stdout while fewer than
  /// `most_reports` of the row have been.
  bool run_case(const isa::InsnRow& row, uint64_t number, RowResult& result, uint64_t most_reports);

  uint64_t completed() const { return completed_; }
  const std::array<uint64_t, 256>& exceptions() const { return exceptions_; }
  uint64_t explained() const { return explained_; }
  /// Cases that the host CPU ended as the engine did when it ran them once more.
  uint64_t not_repeatable() const { return not_repeatable_; }

 private:
  void prepare(const Case& c);
  Outcome run_natively_again(const Case& c, const NativeCode& code);
  std::vector<Difference> unexplained(const isa::InsnRow& row, const Outcome& native, const Outcome& engine);
  void restore(const Case& c);
  void put_code(uint32_t linear, std::span<const uint8_t> bytes);
  /// The options that repeat a case.
  std::string repetition(const isa::InsnRow& row, uint64_t number) const;
  void report(const isa::InsnRow& row, uint64_t number, const Case& c, const NativeCode& code,
              const Outcome& native, const Outcome& engine, const std::vector<Difference>& differences) const;

  NativeCpu& native_;
  EngineCpu& engine_;
  KnownDifferences& known_;
  testing::Watchdog& watchdog_;
  const uint64_t seed_;
  std::vector<uint8_t> pristine_;
  uint64_t completed_ = 0;
  uint64_t explained_ = 0;
  uint64_t not_repeatable_ = 0;
  std::array<uint64_t, 256> exceptions_{};
};

}  // namespace vireo::diff
