#include "tests/differential/runner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "core/isa/disassemble.h"
#include "tests/differential/arena.h"
#include "tests/differential/compare.h"
#include "tests/differential/pristine.h"

namespace vireo::diff {

Runner::Runner(NativeCpu& native, EngineCpu& engine, KnownDifferences& known, testing::Watchdog& watchdog,
               uint64_t seed)
    : native_(native),
      engine_(engine),
      known_(known),
      watchdog_(watchdog),
      seed_(seed),
      pristine_(pristine_arena(seed)) {
  std::memcpy(native_.memory().data(), pristine_.data(), kMemoryBytes);
  std::memcpy(engine_.memory().data(), pristine_.data(), kMemoryBytes);
}

void Runner::prepare(const Case& c) {
  for (const Patch& patch : c.patches) {
    patch_data(native_.memory(), patch.linear, patch.bytes);
    patch_data(engine_.memory(), patch.linear, patch.bytes);
  }
  put_code(c.code_linear, c.code.bytes);
}

Outcome Runner::run_natively_again(const Case& c, const NativeCode& code) {
  restore_data_pages(native_.memory(), pristine_);
  for (const Patch& patch : c.patches) patch_data(native_.memory(), patch.linear, patch.bytes);
  return native_.run(c, code);
}

std::vector<Difference> Runner::unexplained(const isa::InsnRow& row, const Outcome& native,
                                            const Outcome& engine) {
  auto differences = compare(native, engine, native_.memory(), engine_.memory());
  known_.explain(row, native, engine, differences);
  return differences;
}

void Runner::restore(const Case& c) {
  restore_data_pages(native_.memory(), pristine_);
  restore_data_pages(engine_.memory(), pristine_);
  put_code(c.code_linear, std::vector<uint8_t>(c.code.bytes.size(), kTrapByte));
}

/// Puts bytes into the code pages of both sides; what would lie behind them is dropped.
void Runner::put_code(uint32_t linear, std::span<const uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); i++) {
    const uint32_t at = linear + static_cast<uint32_t>(i);
    if (at < kCodeEnd) native_.memory()[at - kArena] = bytes[i];
  }
  engine_.write_code(linear, bytes.first(std::min<size_t>(bytes.size(), kCodeEnd - linear)));
}

bool Runner::run_case(const isa::InsnRow& row, uint64_t number, RowResult& result, uint64_t most_reports) {
  Rng rng = Rng::for_case(seed_, row_title(row), number);
  const auto c = generate_case(rng, row, native_.case_kind());
  if (!c) return false;
  const NativeCode code = native_.code_for(row, *c);
  if (code.left_out != LeftOut::kNot) {
    result.left_out[static_cast<size_t>(code.left_out)]++;
    return false;
  }
  watchdog_.begin([&] { return repetition(row, number); });
  prepare(*c);
  Outcome native = native_.run(*c, code);
  const Outcome engine = engine_.run(c->before);
  // What stops the host is the filling behind the instruction: it would execute its own bytes, too, if it
  // went there, maybe in another segment.
  const uint64_t next = engine_.state().segment(SegReg::kCs).base + engine.after.eip;
  const bool to_itself = row.family == isa::Family::Control && engine.kind == Outcome::Kind::kCompleted &&
                         next - c->code_linear < c->code.bytes.size();
  // Where the native instruction begins earlier the guest has filling.
  const bool to_native_part = next - code.linear < c->code_linear - code.linear;
  if (to_itself || to_native_part || EngineCpu::faulted_in_system(engine)) {
    restore(*c);
    watchdog_.idle();
    return false;
  }
  result.cases++;
  if (native.kind == Outcome::Kind::kCompleted) completed_++;
  if (native.kind == Outcome::Kind::kException) exceptions_[native.vector]++;
  if (!same(native, engine, native_.memory(), engine_.memory())) {
    auto differences = unexplained(row, native, engine);
    if (differences.empty()) {
      explained_++;
    } else if (native = run_natively_again(*c, code), differences = unexplained(row, native, engine);
               differences.empty()) {
      not_repeatable_++;  // so it cannot have been the instruction
    } else {
      for (const Difference& d : differences) result.keys[d.key]++;
      if (result.failures++ < most_reports) report(row, number, *c, code, native, engine, differences);
    }
  }
  restore(*c);
  watchdog_.idle();
  return true;
}

std::string Runner::repetition(const isa::InsnRow& row, uint64_t number) const {
  return fmt::format("--engine {} --native {} --seed {} --row '{}' --case {}", engine_.engine(),
                     native_.name(), seed_, row_title(row), number);
}

void Runner::report(const isa::InsnRow& row, uint64_t number, const Case& c, const NativeCode& code,
                    const Outcome& native, const Outcome& engine,
                    const std::vector<Difference>& differences) const {
  const uint16_t cs = c.before.segment(SegReg::kCs);
  const bool wide = !(cs & 4) || kLdt[cs >> 3].big;
  fmt::print("\nFAILED {}\n  {:02x}: {}\n  in {}-bit code; repeat with {}\n", row_title(row),
             fmt::join(c.code.bytes, " "),
             isa::disassemble(c.code.bytes, wide ? isa::CodeSize::k32 : isa::CodeSize::k16, c.before.eip),
             wide ? 32 : 16, repetition(row, number));
  if (code.bytes != c.code.bytes) fmt::print("  natively {:02x}\n", fmt::join(code.bytes, " "));
  fmt::print("{}", side_by_side(c.before, native, engine));
  for (const Patch& patch : c.patches) {
    fmt::print("  memory [{:08x}]", patch.linear);
    for (size_t i = 0; i < patch.bytes.size() && i < 32; i++) fmt::print(" {:02x}", patch.bytes[i]);
    fmt::print("{}\n", patch.bytes.size() > 32 ? " ..." : "");
  }
  for (const Difference& d : differences)
    fmt::print("  * {}: native {} engine {}\n", d.key, d.native, d.engine);
  std::fflush(stdout);
}

}  // namespace vireo::diff
