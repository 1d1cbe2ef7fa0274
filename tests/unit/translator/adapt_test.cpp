// Code whose fast paths keep failing is translated anew without them, and no other code is.
#include <memory>

#include "tests/unit/interp/protected_bench.h"
#include "translator/block.h"
#include "translator/translator.h"

namespace vireo::translator {
namespace {

class AdaptTest : public interp::ProtectedBench {
 protected:
  static constexpr uint64_t kDirectory = 0x80000, kTable = 0x81000, kData = 0x200000;
  static constexpr uint32_t kP = 1, kW = 2, kG = 0x100;

  void make_engine(const Options& options) { engine = Translator::create(context, options).take(); }
  uint64_t counter(std::string_view name) const {
    uint64_t found = ~uint64_t{0};
    engine->visit_stats([&](std::string_view n, uint64_t value) { found = n == name ? value : found; });
    return found;
  }
  uint64_t adapted() const { return counter("translated code/blocks adapted"); }
  ExitReason run() { return engine->run({cpu.retired + 100'000'000}); }

  /// A kernel in global pages.
  void enable_paging() {
    poke<uint32_t>(kDirectory, kTable | kP | kW);
    for (uint32_t at = 0; at < kRamBytes; at += kPageSize)
      poke<uint32_t>(kTable + at / kPageSize * 4, at | kP | kW | kG);
    cpu.cr3 = kDirectory;
    cpu.cr4 |= cr4::kPge;
    cpu.cr0 |= cr0::kPg;
    mmu.control_registers_changed();
  }

  std::unique_ptr<ExecutionEngine> engine;
};

/// Of a kernel that meets a new page each time it has executed so many instructions.
class NewPagesTest : public AdaptTest {
 protected:
  void run_with(uint32_t instructions_each) {
    enable_paging();
    make_engine({.hot_threshold = 0, .window_after = uint64_t{1} << 20, .host_costs = HostCosts{}});
    if (counter("windows/windows") == ~uint64_t{0}) GTEST_SKIP() << "no windows here";
    put(kCode, {0x49, 0x75, 0xfd,              // earn: dec ecx; jnz earn
                0x88, 0x06,                    // next: mov [esi], al
                0x89, 0xf9,                    // mov ecx, edi
                0x49, 0x75, 0xfd,              // wait: dec ecx; jnz wait
                0x81, 0xc6, 0,    0x10, 0, 0,  // add esi, 1000h
                0x4a, 0x75, 0xf0, 0xf4});      // dec edx; jnz next; hlt
    cpu.reg(Gpr::kRcx) = 2'000'000;
    cpu.reg(Gpr::kRsi) = data;
    cpu.reg(Gpr::kRdi) = instructions_each / 2;
    cpu.reg(Gpr::kRdx) = 40;
    ASSERT_EQ(run(), ExitReason::kHalt);
    ASSERT_EQ(counter("windows/shared by all address spaces now"), 1u);
  }

  uint32_t data = kData;
};

TEST_F(NewPagesTest, InQuickSuccessionAreForAProbe) {
  run_with(20'000);
  if (IsSkipped()) return;
  EXPECT_EQ(adapted(), 1u);
}

TEST_F(NewPagesTest, NowAndThenAreForTheWindow) {
  run_with(40'000);
  if (IsSkipped()) return;
  EXPECT_EQ(adapted(), 0u);
}

/// Of a kernel that reads a program's pages, which are not there yet, far apart.
TEST_F(NewPagesTest, OfProgramsAreForAProbe) {
  put(handler(14), {0x83, 0xc4, 0x04, 0x83, 0x04, 0x24, 0x02, 0xcf});  // add esp,4; add dword [esp],2; iret
  data = kRamBytes;
  run_with(200'000);
  if (IsSkipped()) return;
  EXPECT_EQ(counter("tlb/faults"), 40u);
  EXPECT_EQ(adapted(), 1u);
  EXPECT_LT(counter("translated code/accesses that cost a signal"), 8u);
}

/// Of a loop whose turns, of which a block holds several, do what is not direct or not aligned.
class LoopTest : public AdaptTest {
 protected:
  static constexpr uint32_t kMmio = 0x1000'0000;

  LoopTest() { memory->map_mmio({kMmio}, kPageSize, registers, "registers"); }
  void run_with(uint32_t esi, std::string_view options) {
    make_engine(parse_options(options).take());
    // next: mov eax, [esi]; dec ecx; jnz next; hlt
    put(kCode, {0x8b, 0x06, 0x49, 0x75, 0xfb, 0xf4});
    cpu.reg(Gpr::kRcx) = 1000;
    cpu.reg(Gpr::kRsi) = esi;
    ASSERT_EQ(run(), ExitReason::kHalt);
  }

  interp::EchoPorts registers;
};

TEST_F(LoopTest, AllItsTurnsLearnOfMmioAtOnce) {
  run_with(kMmio, "hot=0,no-windows,no-trust");
  EXPECT_EQ(registers.reads, 1000u);
  EXPECT_EQ(adapted(), 1u);
}

TEST_F(LoopTest, WhatIsNoLongerMmioGetsItsFastPathBack) {
  run_with(kMmio, "hot=0,no-windows,no-trust,no-groups");
  const auto interpreted = [&] {
    return counter("instructions/interpreted: no emitter") +
           counter("instructions/interpreted: fast path missed");
  };
  const auto again = [&](uint32_t esi, uint32_t turns) {
    cpu.halted = false;
    cpu.rip = kCode;
    cpu.reg(Gpr::kRcx) = turns;
    cpu.reg(Gpr::kRsi) = esi;
    const uint64_t before = interpreted();
    EXPECT_EQ(run(), ExitReason::kHalt);
    return interpreted() - before;
  };
  const uint64_t before = adapted();
  const uint64_t while_tried = again(kData, 2000);
  EXPECT_LT(while_tried, 2u * Block::kTrial);
  EXPECT_EQ(adapted(), before + 1);
  EXPECT_LE(again(kData, 2000), 1u);
  // And now it takes longer before it is the interpreter's.
  again(kMmio, Block::kTooMany + 4);
  EXPECT_EQ(adapted(), before + 1);
  again(kMmio, 1000);
  EXPECT_EQ(adapted(), before + 2);
  again(kMmio, 1000);
  EXPECT_EQ(adapted(), before + 2) << "where it stays";
}

TEST_F(LoopTest, AllItsTurnsLearnOfUnalignedAddressesAtOnce) {
  run_with(kData + 1, "hot=0,no-windows,window-after=0,no-groups");
  if (counter("translated code/exits: access not aligned") == 0) GTEST_SKIP() << "no probes that trust here";
  EXPECT_EQ(counter("translated code/exits: access not aligned"), 1u);
  EXPECT_EQ(adapted(), 1u);
}

/// Of a loop that adds up elements of a table, by an index that it computes. Probes guess their page.
class TableTest : public AdaptTest {
 protected:
  void run_with(uint32_t table) {
    make_engine(parse_options("hot=0,no-windows,window-after=0").take());
    for (uint32_t i = 0; i < 8; ++i) poke<uint32_t>(table + i * 4, 1u << 4 * i);
    // next: mov eax, ecx; and eax, 7; add edx, [table + eax * 4]; dec ecx; jnz next; hlt
    put(kCode, {0x89, 0xc8, 0x83, 0xe0, 7, 0x03, 0x14, 0x85, static_cast<uint8_t>(table),
                static_cast<uint8_t>(table >> 8), static_cast<uint8_t>(table >> 16),
                static_cast<uint8_t>(table >> 24), 0x49, 0x75, 0xf1, 0xf4});
    cpu.reg(Gpr::kRcx) = 8 * 15;
    cpu.reg(Gpr::kRdx) = 0;
    ASSERT_EQ(run(), ExitReason::kHalt);
    EXPECT_EQ(cpu.reg(Gpr::kRdx), 0xffff'ffffu);
  }
  uint64_t wrong_guesses() const { return counter("translated code/exits: table in several pages"); }
};

TEST_F(TableTest, InOnePageIsGuessed) {
  run_with(kData + 0xfe0);
  EXPECT_EQ(wrong_guesses(), 0u);
  EXPECT_EQ(adapted(), 0u);
}

TEST_F(TableTest, InTwoPagesIsLearnedForAllTurnsAtOnce) {
  run_with(kData + 0xff0);
  if (wrong_guesses() == 0) GTEST_SKIP() << "no probes that trust here";
  EXPECT_EQ(wrong_guesses(), 1u);
  EXPECT_EQ(adapted(), 1u);
}

TEST_F(LoopTest, AllItsTurnsGetAProbeInsteadOfTheWindowAtOnce) {
  run_with(kMmio, "hot=0,window-after=0");
  if (counter("windows/windows") == ~uint64_t{0}) GTEST_SKIP() << "no windows here";
  EXPECT_EQ(registers.reads, 1000u);
  EXPECT_EQ(adapted(), 2u) << "a probe first, then the interpreter";
}

}  // namespace
}  // namespace vireo::translator
