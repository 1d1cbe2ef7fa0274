// Virtual-8086 mode: entry and exit, IOPL sensitivity, VME's virtual interrupt flag and INT redirection; PVI.
#include "tests/unit/interp/protected_bench.h"

namespace vireo::interp {
namespace {

class V86Test : public ProtectedBench {
 protected:
  uint16_t v86_stack(unsigned position) {
    return peek<uint16_t>(cpu.segment(SegReg::kSs).base + reg(Gpr::kRsp) + 2 * position);
  }
  /// Ends V86 code at a place that the test knows: #UD from UD2.
  void run_v86(std::initializer_list<uint8_t> code) {
    put(kCode, code);
    run_to_halt();
  }
};

TEST_F(V86Test, IretEntersAndAFaultLeaves) {
  put(kCode + 0x100, {0x8c, 0xc8, 0x0f, 0x0b});  // mov ax,cs; ud2
  // push gs, fs, ds, es, ss, esp, eflags(VM), cs, eip; iretd
  run_code({0x68, 6, 0,    0, 0, 0x68, 5, 0, 0, 0, 0x68, 4, 0,    0, 0, 0x68, 3, 0, 0, 0, 0x68, 0, 0x20, 0, 0,
            0x68, 0, 0x10, 0, 0, 0x68, 2, 0, 2, 0, 0x68, 0, 0x10, 0, 0, 0x68, 0, 1, 0, 0, 0xcf});
  EXPECT_EQ(vector(), 6);
  EXPECT_EQ(reg(Gpr::kRax) & 0xffff, 0x1000u);
  EXPECT_EQ(reg(Gpr::kRsp), kTssStack - 36);
  EXPECT_EQ(stack(0), 0x102u);
  EXPECT_EQ(stack(1), 0x1000u);
  EXPECT_TRUE(stack(2) & rflags::kVm);
  EXPECT_EQ(stack(3), 0x1000u);
  EXPECT_EQ(stack(4), 0x2000u);
  EXPECT_EQ(stack(5), 3u);
  EXPECT_EQ(stack(8), 6u);
  EXPECT_EQ(selector(SegReg::kDs), 0u);
  EXPECT_FALSE(cpu.segment(SegReg::kDs).present());
  EXPECT_EQ(cpu.cpl, 0);
  EXPECT_FALSE(cpu.v86());
}

TEST_F(V86Test, SensitiveInstructionsFaultBelowIopl3) {
  const std::initializer_list<uint8_t> kSensitive[] = {{0xfa}, {0xfb}, {0x9c}, {0x9d}, {0xcd, 0x90}, {0xcf}};
  for (const auto& code : kSensitive) {
    cpu.halted = false;
    cpu.rflags = 2;
    enter_v86(0);
    run_v86(code);
    expect_fault(13, 0);
    EXPECT_EQ(stack(1), 0u);
  }
}

TEST_F(V86Test, SensitiveInstructionsRunAtIopl3) {
  enter_v86(3);
  run_v86({0xfb, 0x9c, 0x58, 0xfa, 0x9c, 0x5b, 0x0f, 0x0b});  // sti; pushf; pop ax; cli; pushf; pop bx; ud2
  EXPECT_EQ(vector(), 6);
  EXPECT_EQ(reg(Gpr::kRax) & 0xffff, 0x3202u);
  EXPECT_EQ(reg(Gpr::kRbx) & 0xffff, 0x3002u);
}

TEST_F(V86Test, IntAtIopl3GoesThroughTheIdt) {
  enter_v86(3);
  run_v86({0xcd, 0x90});
  EXPECT_EQ(vector(), 0x90);
  EXPECT_EQ(stack(0), 2u);
  EXPECT_EQ(reg(Gpr::kRsp), kTssStack - 36);
}

TEST_F(V86Test, GateToAnOuterRingIsRefused) {
  set_idt(0x90, gate(kCode1, handler(0x90), 0xee));
  enter_v86(3);
  run_v86({0xcd, 0x90});
  expect_fault(13, kCode1 & ~3u);
}

TEST_F(V86Test, ProtectedModeInstructionsAreUndefined) {
  enter_v86(3);
  run_v86({0x0f, 0x02, 0xc1});
  EXPECT_EQ(vector(), 6);
  cpu.halted = false;
  enter_v86(3);
  run_v86({0x0f, 0x00, 0xc8});  // str ax
  EXPECT_EQ(vector(), 6);
}

TEST_F(V86Test, VmeVirtualisesTheInterruptFlag) {
  cpu.cr4 |= cr4::kVme;
  cpu.rflags |= rflags::kIf;
  enter_v86(0);
  run_v86({0xfb, 0x9c, 0x58, 0xfa, 0x9c, 0x5b, 0x0f, 0x0b});
  EXPECT_EQ(vector(), 6);
  EXPECT_EQ(reg(Gpr::kRax) & 0xffff, 0x3202u) << "IF shows VIF, IOPL reads as 3";
  EXPECT_EQ(reg(Gpr::kRbx) & 0xffff, 0x3002u);
  EXPECT_TRUE(stack(2) & rflags::kIf) << "the real IF never changed";
}

TEST_F(V86Test, VmeStiWithAPendingInterruptFaults) {
  cpu.cr4 |= cr4::kVme;
  cpu.rflags |= rflags::kVip;
  enter_v86(0);
  run_v86({0xfb});
  expect_fault(13, 0);
}

TEST_F(V86Test, VmeRedirectsIntToTheV86Handler) {
  cpu.cr4 |= cr4::kVme;
  cpu.rflags |= rflags::kVif;
  poke<uint32_t>(0x21 * 4, 0x10000100);  // 1000:0100
  poke<uint8_t>(kCode + 0x100, 0xcf);    // iret
  enter_v86(0);
  run_v86({0xcd, 0x21, 0x0f, 0x0b});
  EXPECT_EQ(vector(), 6);
  EXPECT_EQ(stack(0), 2u);
  EXPECT_TRUE(stack(2) & rflags::kVif);
  EXPECT_EQ(peek<uint16_t>(0x20000 + 0x0ffa), 2u);
  EXPECT_EQ(peek<uint16_t>(0x20000 + 0x0ffe) & 0x3200, 0x3200u) << "image with IF = VIF and IOPL 3";
}

TEST_F(V86Test, VmeBitmapSendsIntToTheMonitor) {
  cpu.cr4 |= cr4::kVme;
  poke<uint8_t>(kTss + 0x68 + 0x21 / 8, 1u << (0x21 % 8));
  enter_v86(0);
  run_v86({0xcd, 0x21});
  expect_fault(13, 0);
  cpu.halted = false;
  cpu.rflags = 2;
  set_idt(0x21, gate(kCode0, handler(0x21), 0xee));
  enter_v86(3);
  run_v86({0xcd, 0x21});
  EXPECT_EQ(vector(), 0x21);
}

TEST_F(V86Test, VmeIretRefusesTf) {
  cpu.cr4 |= cr4::kVme;
  enter_v86(0);
  poke<uint16_t>(0x20ffa, 0);
  poke<uint16_t>(0x20ffc, 0x1000);
  poke<uint16_t>(0x20ffe, 0x0102);
  cpu.reg(Gpr::kRsp) = 0xffa;
  run_v86({0xcf});
  expect_fault(13, 0);
}

TEST_F(V86Test, PviInRing3) {
  cpu.cr4 |= cr4::kPvi;
  enter_ring3();
  run_code({0xfb, 0x0f, 0x0b});
  EXPECT_EQ(vector(), 6);
  EXPECT_TRUE(stack(2) & rflags::kVif);
  EXPECT_FALSE(stack(2) & rflags::kIf);
  cpu.halted = false;
  enter_ring3();
  run_code({0xfa, 0x0f, 0x0b});
  EXPECT_FALSE(stack(2) & rflags::kVif);
}

TEST_F(V86Test, IoGoesThroughTheBitmapWhateverIoplIs) {
  enter_v86(3);
  poke<uint8_t>(kTss + 0x88 + 0x10, 0x01);
  run_v86({0xe6, 0x81, 0xe6, 0x80});
  expect_fault(13, 0);
  EXPECT_EQ(stack(1), 2u);
}

TEST_F(V86Test, SegmentLimitsAre64K) {
  enter_v86(3);
  run_v86({0x67, 0xa1, 0xff, 0xff, 0x00, 0x00});  // mov ax,[dword 0xffff]
  expect_fault(13, 0);
}

}  // namespace
}  // namespace vireo::interp
