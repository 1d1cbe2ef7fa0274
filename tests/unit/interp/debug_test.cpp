// Single-stepping, RF, instruction, data and I/O breakpoints, DR7.GD.
#include "tests/unit/interp/protected_bench.h"

namespace vireo::interp {
namespace {

constexpr uint64_t kBs = 1u << 14;

class DebugTest : public ProtectedBench {
 protected:
  /// kind: 0 execute, 1 write, 2 I/O, 3 read or write. length: 0, 1, 3 for 1, 2, 4 bytes.
  void arm(unsigned n, uint32_t address, unsigned kind, unsigned length) {
    cpu.dr[n] = address;
    cpu.dr[7] |= 2u << (2 * n) | kind << (16 + 4 * n) | length << (18 + 4 * n);
  }
};

TEST_F(DebugTest, SingleStepTrapsAfterEachInstruction) {
  cpu.rflags |= rflags::kTf;
  run_code({0x40, 0x40});
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kCode + 1);
  EXPECT_TRUE(cpu.dr[6] & kBs);
  EXPECT_TRUE(stack(2) & rflags::kTf);
  EXPECT_FALSE(stack(2) & rflags::kRf);
  EXPECT_FALSE(cpu.rflags & rflags::kTf);
}

TEST_F(DebugTest, SoftwareInterruptsAreNotTrapped) {
  cpu.rflags |= rflags::kTf;
  run_code({0xcd, 0x90});
  EXPECT_EQ(vector(), 0x90);
  EXPECT_FALSE(cpu.dr[6] & kBs);
  EXPECT_TRUE(stack(2) & rflags::kTf);
}

TEST_F(DebugTest, FarTransfersAreTrapped) {
  cpu.rflags |= rflags::kTf;
  run_code({0xea, 0x00, 0x01, 0x01, 0x00, kCode0, 0x00});
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), 0x10100u);
}

TEST_F(DebugTest, PopfThatSetsTfTrapsAfterTheNextInstruction) {
  // pushfd; or dword [esp],0x100; popfd; inc eax
  run_code({0x9c, 0x81, 0x0c, 0x24, 0, 1, 0, 0, 0x9d, 0x40, 0x40});
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kCode + 10);
}

TEST_F(DebugTest, MovSsDelaysTheTrap) {
  cpu.rflags |= rflags::kTf;
  run_code({0x8e, 0xd0 + 1, 0x40, 0x40});  // mov ss,cx
  EXPECT_EQ(vector(), 13) << "cx is null";
  cpu.halted = false;
  enter_ring0();
  cpu.rflags |= rflags::kTf;
  cpu.reg(Gpr::kRcx) = kData0;
  run_to_halt();
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kCode + 3);
}

TEST_F(DebugTest, RepTrapsAfterEachIteration) {
  cpu.rflags |= rflags::kTf;
  cpu.reg(Gpr::kRcx) = 3;
  cpu.reg(Gpr::kRdi) = 0x50000;
  run_code({0xf3, 0xaa, 0x90});
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kCode);
  EXPECT_EQ(reg(Gpr::kRcx), 2u);
  EXPECT_TRUE(stack(2) & rflags::kRf) << "between iterations";
}

TEST_F(DebugTest, InstructionBreakpointIsAFaultThatRfSkips) {
  arm(0, kCode + 1, 0, 0);
  run_code({0x40, 0x41, 0xf4});
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kCode + 1);
  EXPECT_EQ(cpu.dr[6] & 15, 1u);
  EXPECT_EQ(reg(Gpr::kRcx), 0u);
  put(handler(1) + 1, {0x80, 0x4c, 0x24, 0x0a, 0x01, 0xcf});  // or byte [esp+10],1 (RF); iret
  cpu.halted = false;
  run_to_halt();
  EXPECT_EQ(cpu.rip, kCode + 3);
  EXPECT_EQ(reg(Gpr::kRcx), 1u);
  EXPECT_FALSE(cpu.rflags & rflags::kRf);
}

TEST_F(DebugTest, RfStaysUntilARepeatedInstructionHasEnded) {
  arm(0, kCode, 0, 0);
  cpu.rflags |= rflags::kRf;
  cpu.reg(Gpr::kRcx) = 3;
  cpu.reg(Gpr::kRsi) = 0x50000;
  cpu.reg(Gpr::kRdx) = 0x80;
  echo.on_write = [&] { attention.request(Attention::kExit); };
  put(kCode, {0xf3, 0x6e, 0xf4});  // rep outsb; hlt
  for (unsigned left : {2, 1}) {
    ASSERT_EQ(interp->run({}), ExitReason::kAttention);
    EXPECT_EQ(reg(Gpr::kRcx), left);
    EXPECT_TRUE(cpu.rflags & rflags::kRf);
  }
  echo.on_write = {};
  run_to_halt();
  EXPECT_EQ(vector(), -1);
  EXPECT_EQ(cpu.rip, kCode + 3);
  EXPECT_EQ(echo.writes, 3u);
  EXPECT_FALSE(cpu.rflags & rflags::kRf);
}

TEST_F(DebugTest, AnotherEngineKnowsOfARepThatHasBegun) {
  arm(0, kCode, 0, 0);
  cpu.rflags |= rflags::kRf | rflags::kIf;
  cpu.reg(Gpr::kRcx) = 3;
  cpu.reg(Gpr::kRsi) = 0x50000;
  cpu.reg(Gpr::kRdx) = 0x80;
  echo.on_write = [&] { attention.request(Attention::kExit); };
  put(kCode, {0xf3, 0x6e, 0xf4});  // rep outsb; hlt
  ASSERT_EQ(interp->run({}), ExitReason::kAttention);
  EXPECT_TRUE(cpu.rep_incomplete);
  // As engines that clear RF with each iteration leave it.
  cpu.rflags &= ~rflags::kRf;
  Interp other(context);
  ASSERT_EQ(other.run({}), ExitReason::kAttention) << "the breakpoint is not met again";
  EXPECT_EQ(reg(Gpr::kRcx), 1u);
  interrupts.vector = 0x40;
  attention.request(Attention::kInterrupt);
  ASSERT_EQ(interp->run({}), ExitReason::kHalt);
  EXPECT_EQ(vector(), 0x40);
  EXPECT_EQ(stack(0), kCode);
  EXPECT_TRUE(stack(2) & rflags::kRf);
  EXPECT_FALSE(cpu.rep_incomplete);
}

TEST_F(DebugTest, MovSsHoldsABreakpointOffForAWholeRepeatedInstruction) {
  arm(0, kCode + 2, 0, 0);
  cpu.reg(Gpr::kRax) = kData0;
  cpu.reg(Gpr::kRcx) = 3;
  cpu.reg(Gpr::kRsi) = 0x50000;
  cpu.reg(Gpr::kRdx) = 0x80;
  echo.on_write = [&] { attention.request(Attention::kExit); };
  put(kCode, {0x8e, 0xd0, 0xf3, 0x6e, 0xf4});  // mov ss,ax; rep outsb; hlt
  while (interp->run({}) == ExitReason::kAttention) {
  }
  EXPECT_EQ(vector(), -1);
  EXPECT_EQ(cpu.rip, kCode + 5);
  EXPECT_EQ(echo.writes, 3u);
}

TEST_F(DebugTest, DataBreakpointTrapsAfterTheAccess) {
  arm(1, 0x50004, 1, 3);
  // mov eax,[0x50004]; mov [0x50003],al; mov [0x50002],ecx
  run_code({0xa1, 4, 0, 5, 0, 0xa2, 3, 0, 5, 0, 0x89, 0x0d, 2, 0, 5, 0, 0x90, 0x90});
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kCode + 16);
  EXPECT_EQ(cpu.dr[6] & 15, 2u);
}

TEST_F(DebugTest, ADataBreakpointWithoutATableOfHandlersEndsInShutdownAtOnce) {
  arm(1, 0x50004, 1, 3);
  cpu.idtr.limit = 0;
  put(kCode, {0xa2, 4, 0, 5, 0, 0x41, 0xf4});  // mov [0x50004],al; inc ecx; hlt
  EXPECT_EQ(interp->run({}), ExitReason::kShutdown);
  EXPECT_EQ(cpu.rip, kCode + 5);
  EXPECT_EQ(cpu.retired, 1u);
  EXPECT_EQ(reg(Gpr::kRcx), 0u);
}

TEST_F(DebugTest, ReadWriteBreakpointSeesReads) {
  arm(2, 0x50004, 3, 0);
  run_code({0xa1, 1, 0, 5, 0, 0x90});
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(cpu.dr[6] & 15, 4u);
}

TEST_F(DebugTest, IoBreakpointNeedsDe) {
  arm(3, 0x84, 2, 0);
  run_code({0xe6, 0x84, 0xf4});
  EXPECT_EQ(vector(), -1);
  cpu.halted = false;
  cpu.cr4 |= cr4::kDe;
  enter_ring0();
  run_to_halt();
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kCode + 2);
  EXPECT_EQ(cpu.dr[6] & 15, 8u);
}

TEST_F(DebugTest, GeneralDetect) {
  cpu.dr[7] |= 1u << 13;
  run_code({0x0f, 0x21, 0xc0});  // mov eax,dr0
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kCode);
  EXPECT_TRUE(cpu.dr[6] & (1u << 13));
  EXPECT_FALSE(cpu.dr[7] & (1u << 13));
}

TEST_F(DebugTest, Dr4IsDr6UnlessDe) {
  run_code({0x0f, 0x21, 0xe0, 0xf4});  // mov eax,dr4
  EXPECT_EQ(reg(Gpr::kRax), 0xffff0ff0u);
  cpu.halted = false;
  cpu.cr4 |= cr4::kDe;
  enter_ring0();
  run_to_halt();
  EXPECT_EQ(vector(), 6);
}

TEST_F(DebugTest, Int1IsNotGatedByDpl) {
  enter_ring3();
  run_code({0xf1});
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kCode + 1);
}

}  // namespace
}  // namespace vireo::interp
