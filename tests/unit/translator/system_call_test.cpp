// SYSENTER and SYSEXIT in translated code, between segments of all kinds.
#include "tests/unit/translator/compared_bench.h"

namespace vireo::translator {
namespace {

using interp::descriptor;

class SystemCallTest : public ComparedBench {
 protected:
  static constexpr uint32_t kEntry = 0x12000, kEntryStack = 0xc000;
  static constexpr uint64_t kEntryCs = 0x70;  // SS, and both for ring 3, follow: no descriptor is looked at

  SystemCallTest() {
    cpu.msr.sysenter_cs = kEntryCs;
    cpu.msr.sysenter_eip = kEntry;
    cpu.msr.sysenter_esp = kEntryStack;
    cpu.reg(Gpr::kRbx) = 20;
    put(kEntry, {0x46, 0x16, 0x5f, 0x0f, 0x35});  // inc esi; push ss; pop edi; sysexit
  }
  /// again: mov ecx,esp; mov edx,back; stc; sysenter; back: adc eax,[esp]; dec ebx; jnz again; hlt, which
  /// ring 3 may not.
  CpuState run_calls() {
    return run({0x89, 0xe1, 0xba, kBack & 0xff, kBack >> 8 & 0xff, kBack >> 16, 0, 0xf9, 0x0f, 0x34, 0x13,
                0x04, 0x24, 0x4b, 0x75, 0xf0, 0xf4});
  }
  static constexpr uint32_t kBack = kCode + 10;
};

TEST_F(SystemCallTest, FromAndToFlatSegments) {
  enter_ring3();
  const CpuState after = run_calls();
  EXPECT_EQ(after.reg(Gpr::kRsi), 20u);
  EXPECT_EQ(after.reg(Gpr::kRdi), kEntryCs + 8);
  EXPECT_EQ(vector(), 13);
}

TEST_F(SystemCallTest, FromSegmentsWithLimits) {
  set_gdt(kCode3, descriptor(0, 0x1ff, 0xfb, kFlat));
  enter_ring3();
  cpu.segment(SegReg::kCs).limit = 0x1fffff;
  cpu.segment(SegReg::kSs).limit = 0xffff;
  cpu.segment(SegReg::kDs).base = 0x1000;
  EXPECT_EQ(run_calls().reg(Gpr::kRsi), 20u);
}

TEST_F(SystemCallTest, FromASmallStack) {
  enter_ring3();
  cpu.segment(SegReg::kSs).access &= static_cast<uint16_t>(~Segment::kDb);
  EXPECT_EQ(run_calls().reg(Gpr::kRsi), 20u);
}

TEST_F(SystemCallTest, WithoutAnEntryFaults) {
  cpu.msr.sysenter_cs = 3;
  enter_ring3();
  EXPECT_EQ(run_calls().reg(Gpr::kRsi), 0u);
  expect_fault(13, 0);
}

TEST_F(SystemCallTest, ProgramsMayNotReturn) {
  enter_ring3();
  run({0x90, 0x0f, 0x35});
  expect_fault(13, 0);
}

TEST_F(SystemCallTest, FromVirtual8086Mode) {
  put(kEntry, {0x46, 0xf4});  // inc esi; hlt
  enter_v86(0);
  const CpuState after = run({0x90, 0x0f, 0x34});
  EXPECT_EQ(after.reg(Gpr::kRsi), 1u);
  EXPECT_EQ(after.rflags & rflags::kVm, 0u);
}

TEST_F(SystemCallTest, AlignmentIsCheckedInRing3Only) {
  // inc esi; mov eax,[KENTRY + 1]; sysexit
  put(kEntry, {0x46, 0xa1, 0x01, 0x20, 0x01, 0x00, 0x0f, 0x35});
  cpu.cr0 |= cr0::kAm;
  cpu.rflags |= rflags::kAc;
  enter_ring3();
  cpu.reg(Gpr::kRsp) += 2;
  EXPECT_EQ(run_calls().reg(Gpr::kRsi), 1u);
  EXPECT_EQ(vector(), 17);
}

TEST_F(SystemCallTest, AnInterruptIsDueBehindTheReturn) {
  interrupts.vector = 0x40;
  put(kEntry, {0x46, 0xfb, 0x0f, 0x35});  // inc esi; sti; sysexit
  enter_ring3();
  cpu.rflags &= ~rflags::kIf;
  const CpuState after = run_calls();
  EXPECT_EQ(after.reg(Gpr::kRsi), 1u);
  EXPECT_EQ(vector(), 0x40);
  EXPECT_EQ(stack(0), kBack) << "the interrupted EIP";
}

TEST_F(SystemCallTest, WithTheFloatingPointUnitsInUse) {
  cpu.cr0 |= cr0::kNe;
  cpu.fx.fcw = 0x37f;
  put(kEntry, {0xd9, 0xeb, 0xde, 0xc1, 0x46, 0x0f, 0x35});  // fldpi; faddp; inc esi; sysexit
  enter_ring3();
  // fninit; fld1; mov ecx,esp; mov edx,behind; sysenter; behind: fsqrt; hlt
  run({0xdb, 0xe3, 0xd9, 0xe8, 0x89, 0xe1, 0xba, 0x0d, 0x00, 0x01, 0x00, 0x0f, 0x34, 0xd9, 0xfa, 0xf4});
  EXPECT_EQ(vector(), 13);
}

}  // namespace
}  // namespace vireo::translator
