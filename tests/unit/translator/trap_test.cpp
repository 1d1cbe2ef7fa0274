// Guest exceptions that translated code leaves to the host's: where they come in quick succession, it is
// translated anew and finds out itself. The interpreter agrees with all of it.
#include "tests/unit/translator/compared_bench.h"
#include "translator/trust_policy.h"

namespace vireo::translator {
namespace {

/// What a block takes until it is translated anew; the first turn of a loop is in another one.
constexpr uint64_t kTaken = 16, kEnough = 1 + kTaken;

class TrapTest : public ComparedBench {
 protected:
  static constexpr uint32_t kAbsent = 0x200000, kData = 0x180000;
  static constexpr uint32_t kTurns = 100;

  TrapTest() {
    // Handlers count in EDI and go on behind the instruction, which is EBP bytes long.
    put(handler(0), {0x47, 0x01, 0x2c, 0x24, 0xcf});                     // inc edi; add [esp],ebp; iret
    put(handler(13), {0x47, 0x83, 0xc4, 0x04, 0x01, 0x2c, 0x24, 0xcf});  // inc edi; add esp,4; ...
    put(handler(14), {0x47, 0x83, 0xc4, 0x04, 0x01, 0x2c, 0x24, 0xcf});
    cpu.reg(Gpr::kRdi) = 0;
    cpu.reg(Gpr::kRsi) = kData;
  }
  /// kTurns times: `insn`, with EAX and EDX 0, EBX the number of the turn, and CF set.
  CpuState run_with(const char* words, const std::vector<uint8_t>& insn) {
    engines = {words};
    cpu.reg(Gpr::kRbp) = insn.size();
    std::vector<uint8_t> program = {0xb9, kTurns, 0, 0, 0};      // mov ecx,kTurns
    const std::vector<uint8_t> start = {0x31, 0xc0, 0x31, 0xd2,  // next: xor eax,eax; xor edx,edx
                                        0x89, 0xcb, 0xf9};       // mov ebx,ecx; stc
    program.insert(program.end(), start.begin(), start.end());
    program.insert(program.end(), insn.begin(), insn.end());
    const auto back = static_cast<uint8_t>(0 - static_cast<int>(start.size() + insn.size() + 3));
    program.insert(program.end(), {0x49, 0x75, back, 0xf4});  // dec ecx; jnz next; hlt
    return run(program);
  }
  uint64_t adapted() const { return counters.at("translated code/blocks adapted"); }
  uint64_t exceptions() const { return counters.at("translated code/exits: host exception"); }
  uint64_t trapped() const { return counters.at("translated code/accesses that cost a signal"); }
};

class PageFaultTest : public TrapTest {
 protected:
  void SetUp() override {
    if (const auto can = TrustPolicy::possible(); !can) GTEST_SKIP() << can.error().message;
    enable_paging();
    map(kAbsent, 0, 0);
    cpu.reg(Gpr::kRsi) = kAbsent;
  }
};

TEST_F(PageFaultTest, InQuickSuccessionAreFoundByAProbe) {
  const CpuState end = run_with("hot=0,no-windows,window-after=0,signal-cost=2500", {0x8b, 0x06});
  EXPECT_EQ(end.reg(Gpr::kRdi), kTurns);
  EXPECT_EQ(trapped(), kEnough);
  EXPECT_EQ(adapted(), 1u);
}

TEST_F(PageFaultTest, AreLeftToTheHostWhereSignalsAreCheap) {
  const CpuState end = run_with("hot=0,no-windows,window-after=0,signal-cost=1", {0x8b, 0x06});
  EXPECT_EQ(end.reg(Gpr::kRdi), kTurns);
  EXPECT_EQ(trapped(), kTurns);
  EXPECT_EQ(adapted(), 0u);
}

TEST_F(PageFaultTest, OfWrites) {
  run_with("hot=0,no-windows,window-after=0,signal-cost=2500", {0x01, 0x06});  // add [esi],eax
  EXPECT_EQ(trapped(), kEnough);
}

TEST_F(PageFaultTest, AreTheHostsWithoutAdaptation) {
  run_with("hot=0,no-windows,window-after=0,signal-cost=2500,no-adapt", {0x8b, 0x06});
  EXPECT_EQ(trapped(), kTurns);
}

TEST_F(PageFaultTest, OfADivisorInMemory) {
  run_with("hot=0,no-windows,window-after=0,signal-cost=2500", {0xf7, 0x36});  // div dword [esi]
  EXPECT_EQ(trapped(), kEnough);
  EXPECT_EQ(exceptions(), 0u);
}

class DivisionTest : public TrapTest {
 protected:
  static constexpr const char* kWords = "hot=0,signal-cost=2500";
};

TEST_F(DivisionTest, ByZeroInQuickSuccessionIsFoundByATest) {
  const CpuState end = run_with(kWords, {0xf7, 0xf2});  // div edx
  EXPECT_EQ(end.reg(Gpr::kRdi), kTurns);
  EXPECT_EQ(exceptions(), kEnough);
  EXPECT_EQ(adapted(), 1u);
}

TEST_F(DivisionTest, ByZeroNowAndThenIsLeftToTheHost) {
  run_with("hot=0,signal-cost=1", {0xf7, 0xf2});
  EXPECT_EQ(exceptions(), kTurns);
  EXPECT_EQ(adapted(), 0u);
}

TEST_F(DivisionTest, ByEveryKindOfOperand) {
  const CpuState start = cpu;
  for (const std::vector<uint8_t>& insn : std::vector<std::vector<uint8_t>>{
           {0xf7, 0xfa},                 // idiv edx
           {0x66, 0xf7, 0xf2},           // div dx
           {0x66, 0xf7, 0xfa},           // idiv dx
           {0xf6, 0xf2},                 // div dl
           {0xf6, 0xf6},                 // div dh
           {0xf6, 0xf7},                 // div bh
           {0xf6, 0xf4},                 // div ah
           {0xf6, 0xf8},                 // idiv al
           {0xf7, 0x36},                 // div dword [esi]
           {0x66, 0xf7, 0x3e},           // idiv word [esi]
           {0xf6, 0x36},                 // div byte [esi]
           {0xf7, 0x3d, 0, 0, 0x18, 0},  // idiv dword [kData]
       }) {
    SCOPED_TRACE(insn[insn.size() - 1]);
    cpu = start;
    EXPECT_EQ(run_with(kWords, insn).reg(Gpr::kRdi), kTurns);
    EXPECT_EQ(exceptions(), kEnough);
  }
}

TEST_F(DivisionTest, ByWhatIsNotZeroDividesBehindTheTest) {
  // and ebx,1; div ebx: every second turn faults, and goes on behind that.
  const CpuState start = cpu;
  for (const std::vector<uint8_t>& insn : std::vector<std::vector<uint8_t>>{{0xf7, 0xf3}, {0xf6, 0xfb}}) {
    cpu = start;
    cpu.reg(Gpr::kRbp) = insn.size();
    engines = {kWords};
    std::vector<uint8_t> program = {0xb9, kTurns, 0,    0,    0,         // mov ecx,kTurns
                                    0x89, 0xc8,   0x31, 0xd2,            // next: mov eax,ecx; xor edx,edx
                                    0x89, 0xcb,   0x83, 0xe3, 1, 0xf9};  // mov ebx,ecx; and ebx,1; stc
    program.insert(program.end(), insn.begin(), insn.end());
    program.insert(program.end(),
                   {0x11, 0xc6, 0x49, 0x75, 0xef, 0xf4});  // adc esi,eax; dec ecx; jnz next; hlt
    EXPECT_EQ(run(program).reg(Gpr::kRdi), kTurns / 2);
    EXPECT_EQ(exceptions(), kEnough);
  }
}

TEST_F(DivisionTest, ThatOverflowsIsTheInterpretersInTheEnd) {
  poke<uint32_t>(kData, 1);
  engines = {kWords};
  cpu.reg(Gpr::kRbp) = 2;
  const CpuState end = run({0xb9, kTurns, 0, 0, 0, 0xba, 1, 0, 0, 0,  // mov ecx,kTurns; next: mov edx,1
                            0xf7, 0x36, 0x49, 0x75, 0xf6, 0xf4});  // div dword [esi]; dec ecx; jnz next; hlt
  EXPECT_EQ(end.reg(Gpr::kRdi), kTurns);
  EXPECT_EQ(exceptions(), kEnough + kTaken);
  EXPECT_EQ(adapted(), 2u);
}

}  // namespace
}  // namespace vireo::translator
