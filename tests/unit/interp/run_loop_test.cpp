// The run loop: limits, exits, HLT, REP, self-modifying code, fetch faults.
#include "tests/unit/interp/bench.h"

namespace vireo::interp {
namespace {

using RunLoopTest = CpuBench;

TEST_F(RunLoopTest, RunsALoopAndCountsExactly) {
  // mov cx,100; again: add ax,cx; loop again; hlt
  put(kCode, {0xb9, 100, 0, 0x01, 0xc8, 0xe2, 0xfc, 0xf4});
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRax), 5050u);
  EXPECT_EQ(cpu.retired, 1u + 200 + 1);
  EXPECT_TRUE(cpu.halted);
}

TEST_F(RunLoopTest, StopsExactlyAtTheRetiredLimit) {
  put(kCode, {0x40, 0x40, 0x40, 0x40, 0x40, 0xeb, 0xf9});  // inc ax, five times; jmp start
  for (uint64_t limit = 1; limit < 40; ++limit) {
    ASSERT_EQ(interp->run({limit}), ExitReason::kRetiredLimit);
    ASSERT_EQ(cpu.retired, limit);
    ASSERT_EQ(reg(Gpr::kRax), limit - limit / 6);
    ASSERT_EQ(cpu.rip, limit % 6);
  }
}

TEST_F(RunLoopTest, ExitRequestEndsTheRunAfterTheInstruction) {
  put(kCode, {0xe6, 0x80, 0x40, 0xf4});  // out 0x80,al; inc ax; hlt
  echo.on_write = [&] { attention.request(Attention::kExit); };
  EXPECT_EQ(interp->run({}), ExitReason::kAttention);
  EXPECT_EQ(cpu.retired, 1u);
  EXPECT_EQ(cpu.rip, 2u);
  EXPECT_EQ(attention.bits() & Attention::kExit, 0u);
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRax), 1u);
}

TEST_F(RunLoopTest, InterruptIsTakenAtTheBoundaryAfterItsCause) {
  set_vector(0x40, 0x600);
  put(0x600, {0x89, 0xc3, 0xf4});              // mov bx,ax; hlt
  put(kCode, {0xe6, 0x80, 0x40, 0x40, 0xf4});  // out 0x80,al; inc ax; inc ax; hlt
  cpu.rflags |= rflags::kIf;
  echo.on_write = [&] {
    interrupts.vector = 0x40;
    attention.request(Attention::kInterrupt);
  };
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRbx), 0u);
  EXPECT_EQ(peek<uint16_t>(0x7ffa), 2u) << "return address: after OUT";
  EXPECT_EQ(cpu.rflags & rflags::kIf, 0u);
}

TEST_F(RunLoopTest, HltIsLeftByAnInterrupt) {
  set_vector(0x40, 0x600);
  put(0x600, {0xbb, 7, 0, 0xcf});        // mov bx,7; iret
  put(kCode, {0xfb, 0xf4, 0x40, 0xf4});  // sti; hlt; inc ax; hlt
  run_to_halt();
  EXPECT_EQ(cpu.rip, 2u);
  interrupts.vector = 0x40;
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRbx), 7u);
  EXPECT_EQ(reg(Gpr::kRax), 1u);
}

TEST_F(RunLoopTest, NmiIsBlockedUntilIret) {
  set_vector(2, 0x600);
  put(0x600, {0x43, 0xe6, 0x80, 0x43, 0xcf});  // inc bx; out 0x80,al; inc bx; iret
  put(kCode, {0xe6, 0x80, 0xf4});
  echo.on_write = [&] {
    if (echo.writes < 3) attention.request(Attention::kNmi);
  };
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRbx), 4u) << "the second NMI waits for the IRET of the first";
  EXPECT_EQ(cpu.rip, 3u);
  EXPECT_FALSE(cpu.nmi_blocked);
}

TEST_F(RunLoopTest, StiHoldsInterruptsOffForOneInstruction) {
  set_vector(0x40, 0x600);
  put(0x600, {0x89, 0xc3, 0xf4});  // mov bx,ax; hlt
  put(kCode, {0xfb, 0x40, 0x40, 0xf4});
  interrupts.vector = 0x40;
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRbx), 1u);
}

TEST_F(RunLoopTest, MovSsHoldsInterruptsOffForOneInstruction) {
  set_vector(0x40, 0x600);
  put(0x600, {0x89, 0xc3, 0xf4});
  put(kCode, {0xe6, 0x80, 0x8e, 0xd1, 0x40, 0x40, 0xf4});  // out 0x80,al; mov ss,cx; inc ax; inc ax; hlt
  cpu.rflags |= rflags::kIf;
  echo.on_write = [&] { cpu.rflags &= ~rflags::kIf; };
  ASSERT_EQ(interp->run({2}), ExitReason::kRetiredLimit);
  cpu.rflags |= rflags::kIf;
  interrupts.vector = 0x40;
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRbx), 1u);
}

TEST_F(RunLoopTest, RepStopsForAnInterruptBetweenIterations) {
  set_vector(0x40, 0x600);
  put(0x600, {0x89, 0xcb, 0xcf});  // mov bx,cx; iret
  // mov cx,5; mov si,0x700; mov dx,0x80; rep outsb; hlt
  put(kCode, {0xb9, 5, 0, 0xbe, 0, 7, 0xba, 0x80, 0, 0xf3, 0x6e, 0xf4});
  cpu.rflags |= rflags::kIf;
  echo.on_write = [&] {
    if (echo.writes != 2) return;
    interrupts.vector = 0x40;
    attention.request(Attention::kInterrupt);
  };
  run_to_halt();
  EXPECT_EQ(echo.writes, 5u);
  EXPECT_EQ(reg(Gpr::kRbx), 3u);
  EXPECT_EQ(reg(Gpr::kRsi), 0x705u);
  EXPECT_EQ(peek<uint16_t>(0x7ffa), 9u) << "return address: the REP instruction";
  EXPECT_EQ(cpu.retired, 3u + 1 + 2 + 1 + 1);
}

TEST_F(RunLoopTest, RepInterruptedByAnExitRequestCountsOnce) {
  put(kCode, {0xb9, 5, 0, 0xbe, 0, 7, 0xba, 0x80, 0, 0xf3, 0x6e, 0xf4});
  echo.on_write = [&] { attention.request(Attention::kExit); };
  unsigned exits = 0;
  while (interp->run({}) == ExitReason::kAttention) ++exits;
  EXPECT_EQ(exits, 5u);
  EXPECT_EQ(echo.writes, 5u);
  EXPECT_EQ(cpu.retired, 5u);
}

TEST_F(RunLoopTest, WriteToTheInstructionDirectlyAheadIsSeen) {
  // mov byte [cs:6],0x43; inc ax (becomes inc bx); hlt
  put(kCode, {0x2e, 0xc6, 0x06, 6, 0, 0x43, 0x40, 0xf4});
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRax), 0u);
  EXPECT_EQ(reg(Gpr::kRbx), 1u);
}

TEST_F(RunLoopTest, RewrittenLoopBodyIsSeenEveryTime) {
  // mov cx,3; l: inc byte [cs:9]; mov al,0; add bl,al; loop l; hlt
  put(kCode, {0xb9, 3, 0, 0x2e, 0xfe, 0x06, 9, 0, 0xb0, 0, 0x00, 0xc3, 0xe2, 0xf5, 0xf4});
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRbx), 1u + 2 + 3);
}

TEST_F(RunLoopTest, WritesByOthersAreSeen) {
  put(kCode, {0x40, 0xf4});
  run_to_halt();
  poke<uint8_t>(kCode, 0x43);  // as DMA does it
  cpu.halted = false;
  start(kCode);
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRbx), 1u);
}

TEST_F(RunLoopTest, ReplacedMemoryIsSeen) {
  put(kCode, {0x40, 0xf4});
  run_to_halt();
  memory->ram()[kCode] = 0x43;  // past the marks
  memory->contents_replaced();
  cpu.halted = false;
  start(kCode);
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRax), 1u);
  EXPECT_EQ(reg(Gpr::kRbx), 1u);
}

TEST_F(RunLoopTest, InstructionsAcrossPages) {
  start(0x10ff0);
  put(0x10ffe, {0xb8, 0x34, 0x12, 0xf4});  // mov ax,0x1234 across 0x11000
  cpu.rip = 0xe;
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRax), 0x1234u);
  poke<uint8_t>(0x11000, 0x56);  // the part in the second page
  cpu.halted = false;
  cpu.rip = 0xe;
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRax), 0x5634u);
}

TEST_F(RunLoopTest, FetchBeyondTheSegmentLimitIsGp) {
  set_vector(13, 0x600);
  put(0x600, {0xf4});
  put(kCode + 0xffff, {0xb8});  // mov ax,imm16 with the immediate beyond 0xffff
  cpu.rip = 0xffff;
  run_to_halt();
  EXPECT_EQ(peek<uint16_t>(0x7ffa), 0xffffu);
}

TEST_F(RunLoopTest, FifteenBytesAreTheLimit) {
  set_vector(13, 0x600);
  put(0x600, {0xf4});
  for (unsigned i = 0; i < 14; ++i) poke<uint8_t>(kCode + i, 0x2e);
  put(kCode + 14, {0x40, 0xf4});
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRax), 1u);
  cpu.halted = false;
  for (unsigned i = 0; i < 15; ++i) poke<uint8_t>(kCode + i, 0x2e);
  put(kCode + 15, {0x40, 0xf4});
  start(kCode);
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRax), 1u);
  EXPECT_EQ(cpu.segment(SegReg::kCs).base, 0u) << "in the handler of #GP";
}

TEST_F(RunLoopTest, StepOneExecutesOneInstructionAndReportsFaults) {
  put(kCode, {0x40, 0x0f, 0x0b});  // inc ax; ud2
  interrupts.vector = 0x40;
  cpu.rflags |= rflags::kIf;
  EXPECT_EQ(interp->step_one(), Interp::StepResult::kRetired);
  EXPECT_EQ(cpu.rip, 1u);
  EXPECT_EQ(cpu.retired, 1u);
  std::optional<Fault> fault;
  EXPECT_EQ(interp->step_one(&fault), Interp::StepResult::kFault);
  ASSERT_TRUE(fault.has_value());
  EXPECT_EQ(fault->vector, 6);
  EXPECT_EQ(cpu.rip, 1u);
  EXPECT_EQ(cpu.retired, 1u);
}

}  // namespace
}  // namespace vireo::interp
