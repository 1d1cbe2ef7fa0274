// Task switches: 386 and 286 TSS, jumps, calls, task gates, IRET with NT, faults in the new task.
#include "tests/unit/interp/protected_bench.h"

namespace vireo::interp {
namespace {

class TaskSwitchTest : public ProtectedBench {
 protected:
  static constexpr uint64_t kNewTss = 0x6000;
  static constexpr uint32_t kNewCode = 0x12000, kNewStack = 0xd000;

  TaskSwitchTest() {
    set_gdt(kOther, descriptor(kNewTss, 0x67, 0x89, 0));
    poke<uint32_t>(kNewTss + 0x20, kNewCode);
    poke<uint32_t>(kNewTss + 0x24, 0x202);
    for (unsigned i = 0; i < 8; ++i) poke<uint32_t>(kNewTss + 0x28 + 4 * i, 0x11111111 * (i + 1));
    poke<uint32_t>(kNewTss + 0x38, kNewStack);
    for (unsigned i = 0; i < 6; ++i) poke<uint16_t>(kNewTss + 0x48 + 4 * i, i == 1 ? kCode0 : kData0);
    poke<uint8_t>(kNewCode, 0xf4);
  }
  unsigned type_of(uint16_t sel) { return get_gdt(sel) >> 40 & 15; }
};

TEST_F(TaskSwitchTest, JumpSwitchesAndMovesTheBusyBit) {
  cpu.reg(Gpr::kRbx) = 0xb0b0b0b0;
  run_code({0xea, 0, 0, 0, 0, kOther, 0});
  EXPECT_EQ(cpu.rip, kNewCode + 1);
  EXPECT_EQ(reg(Gpr::kRax), 0x11111111u);
  EXPECT_EQ(reg(Gpr::kRdi), 0x88888888u);
  EXPECT_EQ(reg(Gpr::kRsp), kNewStack);
  EXPECT_EQ(cpu.tr.selector, kOther);
  EXPECT_EQ(cpu.tr.base, kNewTss);
  EXPECT_EQ(type_of(kOther), 11u);
  EXPECT_EQ(type_of(kTssSelector), 9u);
  EXPECT_EQ(cpu.rflags, 0x202u);
  EXPECT_TRUE(cpu.cr0 & cr0::kTs);
  EXPECT_EQ(peek<uint32_t>(kTss + 0x20), kCode + 7) << "old EIP";
  EXPECT_EQ(peek<uint32_t>(kTss + 0x34), 0xb0b0b0b0u);
  EXPECT_EQ(peek<uint16_t>(kTss + 0x48 + 4), kCode0);
}

TEST_F(TaskSwitchTest, CallNestsAndIretReturns) {
  put(kNewCode, {0x40, 0xcf});  // inc eax; iret
  run_code({0x9a, 0, 0, 0, 0, kOther, 0, 0xf4});
  EXPECT_EQ(cpu.rip, kCode + 8);
  EXPECT_EQ(peek<uint16_t>(kNewTss), kTssSelector) << "back link";
  EXPECT_EQ(peek<uint32_t>(kNewTss + 0x28), 0x11111112u);
  EXPECT_EQ(peek<uint32_t>(kNewTss + 0x20), kNewCode + 2);
  EXPECT_FALSE(peek<uint32_t>(kNewTss + 0x24) & rflags::kNt) << "IRET clears NT in the TSS it leaves";
  EXPECT_EQ(type_of(kOther), 9u);
  EXPECT_EQ(type_of(kTssSelector), 11u);
  EXPECT_FALSE(cpu.rflags & rflags::kNt);
}

TEST_F(TaskSwitchTest, BusyTaskCannotBeCalled) {
  set_gdt(kOther, descriptor(kNewTss, 0x67, 0x8b, 0));
  run_code({0x9a, 0, 0, 0, 0, kOther, 0});
  expect_fault(13, kOther);
}

TEST_F(TaskSwitchTest, ShortTssIsTs) {
  set_gdt(kOther, descriptor(kNewTss, 0x66, 0x89, 0));
  run_code({0xea, 0, 0, 0, 0, kOther, 0});
  expect_fault(10, kOther);
  EXPECT_EQ(cpu.tr.selector, kTssSelector);
}

TEST_F(TaskSwitchTest, TaskGateInTheIdtPushesTheErrorCodeThere) {
  set_idt(13, gate(kOther, 0, 0x85));
  run_code({0x66, 0xb8, 0xf8, 0x0f, 0x8e, 0xd8});
  EXPECT_EQ(cpu.tr.selector, kOther);
  EXPECT_EQ(reg(Gpr::kRsp), kNewStack - 4);
  EXPECT_EQ(stack(0), 0xff8u);
  EXPECT_TRUE(cpu.rflags & rflags::kNt);
  EXPECT_EQ(peek<uint32_t>(kTss + 0x20), kCode + 4) << "the faulting instruction";
  EXPECT_TRUE(peek<uint32_t>(kTss + 0x24) & rflags::kRf);
}

TEST_F(TaskSwitchTest, BadSegmentFaultsInTheNewTask) {
  poke<uint16_t>(kNewTss + 0x48 + 4 * 3, 0xff8);  // DS
  run_code({0xea, 0, 0, 0, 0, kOther, 0});
  expect_fault(10, 0xff8);
  EXPECT_EQ(stack(1), kNewCode);
  EXPECT_EQ(cpu.tr.selector, kOther);
  EXPECT_EQ(reg(Gpr::kRsp), kNewStack - 16);
}

TEST_F(TaskSwitchTest, SwitchLoadsCr3WithPaging) {
  for (uint32_t directory : {0x100000u, 0x110000u}) {
    cpu.cr4 |= cr4::kPse;
    poke<uint32_t>(directory, 0x83);
  }
  poke<uint32_t>(0x110000 + 4, 0x83);
  cpu.cr3 = 0x100000;
  cpu.cr0 |= cr0::kPg;
  mmu.control_registers_changed();
  poke<uint32_t>(kNewTss + 0x1c, 0x110000);
  run_code({0xea, 0, 0, 0, 0, kOther, 0});
  EXPECT_EQ(cpu.cr3, 0x110000u);
}

TEST_F(TaskSwitchTest, DebugTrapBit) {
  poke<uint16_t>(kNewTss + 0x64, 1);
  run_code({0xea, 0, 0, 0, 0, kOther, 0});
  EXPECT_EQ(vector(), 1);
  EXPECT_EQ(stack(0), kNewCode);
  EXPECT_TRUE(cpu.dr[6] & (1u << 15));
}

TEST_F(TaskSwitchTest, ToA286TaskAndBack) {
  set_gdt(kOther, descriptor(kNewTss, 0x2b, 0x81, 0));
  poke<uint16_t>(kNewTss + 0x0e, 0x100);
  poke<uint16_t>(kNewTss + 0x10, 0x2);
  for (unsigned i = 0; i < 8; ++i) poke<uint16_t>(kNewTss + 0x12 + 2 * i, static_cast<uint16_t>(0x1110 + i));
  poke<uint16_t>(kNewTss + 0x1a, 0x800);
  poke<uint16_t>(kNewTss + 0x22, kData16);
  poke<uint16_t>(kNewTss + 0x24, kCode16);
  poke<uint16_t>(kNewTss + 0x26, kData16);
  poke<uint16_t>(kNewTss + 0x28, kData16);
  poke<uint16_t>(kNewTss + 0x2a, 0);
  put(0x10100, {0x40, 0xcf});
  run_code({0x9a, 0, 0, 0, 0, kOther, 0, 0xf4});
  EXPECT_EQ(cpu.rip, kCode + 8);
  EXPECT_EQ(peek<uint16_t>(kNewTss + 0x12), 0x1111u);
  EXPECT_EQ(peek<uint16_t>(kNewTss), kTssSelector);
}

TEST_F(TaskSwitchTest, DoubleFaultThroughATaskGateSurvivesABadStack) {
  set_idt(8, gate(kOther, 0, 0x85));
  cpu.segment(SegReg::kSs).limit = 0x100;
  run_code({0x0f, 0x0b});
  EXPECT_EQ(cpu.tr.selector, kOther);
  EXPECT_EQ(stack(0), 0u);
}

}  // namespace
}  // namespace vireo::interp
