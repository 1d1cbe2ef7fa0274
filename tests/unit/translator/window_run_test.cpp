// REP MOVS and REP STOS over several pages of a window at once: where they stop in the middle, the registers
// say so, and somebody goes on there.
#include "tests/unit/translator/compared_bench.h"

namespace vireo::translator {
namespace {

class WindowRunTest : public ComparedBench {
 protected:
  WindowRunTest() {
    mmu.keep_spaces_after(0);
    enable_paging();
    for (uint32_t at = 0; at < kBytes; at += 4) poke<uint32_t>(kFrom + at, 0x9e3779b1u * (at + 1));
    cpu.reg(Gpr::kRsi) = kFrom + 4;
    cpu.reg(Gpr::kRdi) = kTo + 4;
    cpu.reg(Gpr::kRcx) = (kBytes - 8) / 4;
    cpu.reg(Gpr::kRax) = 0x1234'5678;
    cpu.rflags |= rflags::kCf | rflags::kOf;
    engines = {"hot=0,window-after=0", "hot=0,window-after=0,no-adapt"};
  }
  static constexpr uint32_t kPages = 40, kBytes = kPages * kPageSize;
  static constexpr uint32_t kFrom = 0x200000, kTo = 0x280000;

  /// With neither accessed nor dirty flags.
  void map_destination() {
    for (uint32_t page = 0; page < kPages; ++page) map(kTo + page * kPageSize, kTo + page * kPageSize, kAll);
  }
  uint64_t signals() const { return counters.at("translated code/accesses that cost a signal"); }
  /// Runs that the interpreter has been given, from the start or on the way.
  uint64_t interpreted() const {
    return counters.at("translated code/exits: access not direct") +
           counters.at("instructions/interpreted: fast path missed");
  }
  uint32_t left() const { return static_cast<uint32_t>(reg(Gpr::kRcx)); }
  uint32_t reg(Gpr r) const { return static_cast<uint32_t>(cpu.reg(r)); }
};

TEST_F(WindowRunTest, GoesThroughAllPages) {
  run({0xf3, 0xa5, 0xf4});  // rep movsd; hlt
  EXPECT_EQ(left(), 0u);
  EXPECT_EQ(reg(Gpr::kRdi), kTo + kBytes - 4);
  EXPECT_EQ(interpreted(), 0u);
  EXPECT_GT(signals(), 1u) << "pages come as they are met";
}

TEST_F(WindowRunTest, FillsAllPages) {
  run({0xf3, 0xab, 0xf4});  // rep stosd
  EXPECT_EQ(peek<uint32_t>(kTo + kBytes - 8), 0x1234'5678u);
  EXPECT_EQ(interpreted(), 0u);
}

TEST_F(WindowRunTest, OfBytesAndWordsAtAnyAddress) {
  cpu.reg(Gpr::kRsi) = kFrom + 3;
  cpu.reg(Gpr::kRdi) = kTo + kPageSize - 1;
  cpu.reg(Gpr::kRcx) = 3 * kPageSize + 5;
  cpu.reg(Gpr::kRdx) = 5 * kPageSize + 2;
  run({0xf3, 0x66, 0xa5, 0x89, 0xd1,          // rep movsw; mov ecx,edx
       0xf3, 0xa4, 0x89, 0xd1,                // rep movsb; mov ecx,edx
       0xf3, 0x66, 0xab, 0x89, 0xd1,          // rep stosw; mov ecx,edx
       0xf3, 0xaa, 0x0f, 0x90, 0xc3, 0xf4});  // rep stosb; seto bl; hlt
  EXPECT_EQ(interpreted(), 0u);
}

TEST_F(WindowRunTest, OfNothingChangesNothing) {
  cpu.reg(Gpr::kRcx) = 0;
  cpu.reg(Gpr::kRdi) = 0xffff'ffff;
  cpu.reg(Gpr::kRsi) = 0xffff'fff0;
  run({0xf3, 0xa5, 0xf3, 0xab, 0xf4});
  EXPECT_EQ(reg(Gpr::kRdi), 0xffff'ffffu);
  EXPECT_EQ(interpreted(), 0u);
}

TEST_F(WindowRunTest, OverWhatItHasJustWritten) {
  cpu.reg(Gpr::kRdi) = kFrom + 8;
  run({0xf3, 0xa5, 0xf4});
  EXPECT_EQ(peek<uint32_t>(kFrom + kBytes - 8), peek<uint32_t>(kFrom + 4));
}

TEST_F(WindowRunTest, StopsAtAPageFaultOfTheDestination) {
  map(kTo + 30 * kPageSize, 0, 0);
  run({0xf3, 0xa5, 0xf4});
  EXPECT_EQ(vector(), 14);
  EXPECT_EQ(cpu.cr2, kTo + 30 * kPageSize);
  EXPECT_EQ(reg(Gpr::kRdi), kTo + 30 * kPageSize);
  EXPECT_EQ(reg(Gpr::kRsi), kFrom + 30 * kPageSize);
}

TEST_F(WindowRunTest, StopsAtAPageFaultOfTheSource) {
  map(kFrom + 30 * kPageSize, 0, 0);
  cpu.reg(Gpr::kRsi) = kFrom + 1;
  run({0xf3, 0xa5, 0xf4});
  EXPECT_EQ(vector(), 14);
  EXPECT_EQ(cpu.cr2, kFrom + 30 * kPageSize) << "behind three bytes that are there";
  EXPECT_EQ(reg(Gpr::kRsi), kFrom + 30 * kPageSize - 3);
}

TEST_F(WindowRunTest, StopsAtAPageFaultOfAFill) {
  map(kTo + 30 * kPageSize, 0, 0);
  run({0xf3, 0xab, 0xf4});
  EXPECT_EQ(vector(), 14);
  EXPECT_EQ(reg(Gpr::kRax), 0x1234'5678u);
  EXPECT_EQ(reg(Gpr::kRdi), kTo + 30 * kPageSize);
}

TEST_F(WindowRunTest, GoesOnBehindAPageThatTheGuestProvides) {
  constexpr uint32_t kMissing = kTo + 17 * kPageSize;
  map(kMissing, kMissing, 0);
  put(handler(14), {0x80, 0x0d});  // or byte [its entry],7; invlpg [edi]; add esp,4; iret
  poke<uint32_t>(handler(14) + 2, page_entry(kMissing));
  put(handler(14) + 6, {0x07, 0x0f, 0x01, 0x3f, 0x83, 0xc4, 0x04, 0xcf});
  run({0xf3, 0xa5, 0xf4});
  EXPECT_EQ(left(), 0u);
  EXPECT_EQ(cpu.cr2, kMissing);
}

TEST_F(WindowRunTest, GoesOnBehindMmio) {
  interp::EchoPorts registers;
  constexpr uint32_t kMmio = 0x1000'0000;
  memory->map_mmio({kMmio}, kPageSize, registers, "registers");
  map(kTo + 20 * kPageSize, kMmio);
  run({0xf3, 0xa5, 0xf4});
  EXPECT_EQ(left(), 0u);
  EXPECT_EQ(registers.last_offset, kPageSize - 4);
  EXPECT_EQ(registers.writes, 3 * kPageSize / 4) << "each engine once";
}

TEST_F(WindowRunTest, OfMoreThanAllRamIsTheInterpreters) {
  for (uint32_t at = kRamBytes; at < 3 * kRamBytes; at += kPageSize) map(at, kTo);
  cpu.reg(Gpr::kRdi) = kRamBytes;
  cpu.reg(Gpr::kRcx) = kRamBytes / 4 + 1;
  run({0xf3, 0xab, 0xf4});
  EXPECT_EQ(left(), 0u);
  EXPECT_GT(interpreted(), 0u);
}

TEST_F(WindowRunTest, SetsTheDirtyFlagOfWhatItHasWritten) {
  map_destination();
  map(kTo + 30 * kPageSize, 0, 0);
  run({0xf3, 0xa5, 0xf4});
  EXPECT_EQ(peek<uint32_t>(page_entry(kTo + 29 * kPageSize)) & kDirty, kDirty);
  EXPECT_EQ(peek<uint32_t>(page_entry(kTo + 31 * kPageSize)) & kDirty, 0u);
}

TEST_F(WindowRunTest, IntoCodeIsSeenByIt) {
  // The program fills its own page from behind a HLT on, up to one that stays; the jump leads into that.
  put(kCode + 16, {0x90, 0x90, 0xf4});
  cpu.reg(Gpr::kRdi) = kCode + 16;
  cpu.reg(Gpr::kRcx) = 16;
  cpu.reg(Gpr::kRax) = 0x4343'4343;  // inc ebx
  poke<uint8_t>(kCode + 16 + 64, 0xf4);
  run({0xbb, 0, 0, 0, 0, 0xf3, 0xab, 0xeb, 0x07});  // mov ebx,0; rep stosd; jmp kCode+16
  EXPECT_EQ(reg(Gpr::kRbx), 64u);
}

TEST_F(WindowRunTest, BeyondTheEndOfTheAddressesBeginsAgainAt0) {
  map(0xffff'e000, kTo, kAll);
  map(0xffff'f000, kTo + kPageSize, kAll);
  cpu.reg(Gpr::kRdi) = 0xffff'e004;
  cpu.reg(Gpr::kRcx) = 2 * kPageSize / 4 + 0x40;  // into the first bytes of RAM, where nothing is
  run({0xf3, 0xa5, 0xf4});
  EXPECT_EQ(reg(Gpr::kRdi), 0x104u);
  EXPECT_GT(interpreted(), 0u) << "the interpreter's";
}

TEST_F(WindowRunTest, DownwardsIsTheInterpreters) {
  cpu.reg(Gpr::kRsi) = kFrom + kBytes - 8;
  cpu.reg(Gpr::kRdi) = kTo + kBytes - 8;
  run({0xfd, 0xf3, 0xa5, 0xfc, 0xf4});  // std; rep movsd; cld; hlt
  EXPECT_EQ(reg(Gpr::kRdi), kTo);
}

/// Has an interrupt come while a page of a run is looked up.
class InterruptedRunTest : public WindowRunTest, public MemoryListener {
 protected:
  InterruptedRunTest() {
    map_destination();
    memory->mark_tables({page_entry(kTo) & ~kPageMask});
    memory->add_listener(*this);
    // Handler: ebx is ECX and ebp EFLAGS at the interrupt.
    put(handler(0x21), {0x89, 0xcb, 0x8b, 0x6c, 0x24, 0x08, 0xcf});
    cpu.rflags |= rflags::kIf;
  }
  ~InterruptedRunTest() override { memory->remove_listener(*this); }
  void on_code_written(Gpa, uint64_t, Writer) override {}
  void on_layout_changed() override {}
  /// The entry's accessed bit is set.
  void on_tables_written(Gpa start, uint64_t) override {
    if (start.value != page_entry(kTo + interrupted_page * kPageSize) || came) return;
    came = true;
    interrupts.vector = 0x21;
    attention.request(Attention::kInterrupt);
  }
  void run_on(ExecutionEngine& engine) {
    put(kCode, {0xf3, 0xab, 0xf4});
    mmu.control_registers_changed();
    mmu.flush();
    EXPECT_EQ(engine.run({cpu.retired + 1000}), ExitReason::kHalt);
    EXPECT_TRUE(came);
    EXPECT_EQ(reg(Gpr::kRdi), kTo + kBytes - 4);
  }
  std::unique_ptr<ExecutionEngine> translator() {
    return Translator::create(context, parse_options("hot=0,window-after=0").take()).take();
  }
  uint32_t elements_before(uint32_t page) const { return (page * kPageSize - 4) / 4; }

  uint32_t interrupted_page = 0;
  bool came = false;
};

TEST_F(InterruptedRunTest, EndsWhereTheNextPageIsMissing) {
  const uint64_t all = cpu.reg(Gpr::kRcx);
  const auto engine = translator();
  run_on(*engine);
  EXPECT_EQ(reg(Gpr::kRbx), all - elements_before(1));
  EXPECT_NE(reg(Gpr::kRbp) & rflags::kRf, 0u) << "in the middle of an instruction";
}

TEST_F(InterruptedRunTest, IsTheSameToTheGuestAsTheInterpreters) {
  interrupted_page = 7;
  const CpuState before = cpu;
  run_on(*interp);
  CpuState expected = cpu;
  EXPECT_NE(reg(Gpr::kRbp) & rflags::kRf, 0u);
  cpu = before;
  map_destination();
  came = false;
  const auto engine = translator();
  run_on(*engine);
  EXPECT_LT(reg(Gpr::kRbx), expected.reg(Gpr::kRbx)) << "a page later";
  expected.reg(Gpr::kRbx) = cpu.reg(Gpr::kRbx);
  EXPECT_EQ(cpu.gpr, expected.gpr);
  EXPECT_EQ(cpu.retired, expected.retired) << "the instruction counts once more where it is left";
}

TEST_F(WindowRunTest, ThatFaultsAgainAndAgainGetsProbes) {
  map(kTo, 0, 0);
  // Handler: ebp += 1, and the destination is another one.
  put(handler(14),
      {0x45, 0xbf, 0x00, 0x10, 0x28, 0x00, 0x83, 0xc4, 0x04, 0xcf});  // inc ebp; mov edi,kTo+1000h
  cpu.reg(Gpr::kRbp) = 0;
  engines = {"hot=0,window-after=0,signal-cost=2500"};
  run({0xbb, 100,  0,    0,    0,             // mov ebx,100
       0xbf, 0x00, 0x00, 0x28, 0x00,          // next: mov edi,kTo
       0xb9, 0x02, 0x00, 0x00, 0x00,          // mov ecx,2
       0xf3, 0xab, 0x4b, 0x75, 0xf1, 0xf4});  // rep stosd; dec ebx; jnz next; hlt
  EXPECT_EQ(reg(Gpr::kRbp), 100u);
  EXPECT_EQ(counters.at("translated code/blocks adapted"), 1u);
  EXPECT_LT(signals(), 25u);
}

}  // namespace
}  // namespace vireo::translator
