// Far transfers: direct, call gates, conforming code, IRET between rings, SYSENTER, real-mode far calls.
#include "tests/unit/interp/protected_bench.h"

namespace vireo::interp {
namespace {

using TransferTest = ProtectedBench;

TEST_F(TransferTest, FarJumpTo16BitCode) {
  put(0x10100, {0xb8, 0x34, 0x12, 0xf4});
  run_code({0xea, 0x00, 0x01, 0x00, 0x00, kCode16, 0x00});
  EXPECT_EQ(reg(Gpr::kRax), 0x1234u);
  EXPECT_EQ(selector(SegReg::kCs), kCode16);
}

TEST_F(TransferTest, FarCallAndReturnWithParameters) {
  put(0x10100, {0xca, 0x08, 0x00});  // retf 8
  // push 1; push 2; call 8:0x10100; hlt
  run_code({0x6a, 1, 0x6a, 2, 0x9a, 0x00, 0x01, 0x01, 0x00, kCode0, 0x00, 0xf4});
  EXPECT_EQ(reg(Gpr::kRsp), kRing0Stack);
  EXPECT_EQ(cpu.rip, kCode + 12);
}

TEST_F(TransferTest, CallGateToInnerRingCopiesParameters) {
  set_gdt(kOther, gate(kCode0, handler(0x50), 0xec, 2));
  enter_ring3();
  run_code({0x6a, 1, 0x6a, 2, 0x9a, 0, 0, 0, 0, kOther, 0x00});
  EXPECT_EQ(vector(), 0x50);
  EXPECT_EQ(cpu.cpl, 0);
  EXPECT_EQ(reg(Gpr::kRsp), kTssStack - 24);
  EXPECT_EQ(stack(0), kCode + 11);
  EXPECT_EQ(stack(1), kCode3);
  EXPECT_EQ(stack(2), 2u);
  EXPECT_EQ(stack(3), 1u);
  EXPECT_EQ(stack(4), kRing3Stack - 8);
  EXPECT_EQ(stack(5), kData3);
}

TEST_F(TransferTest, ReturnThroughTheGateReleasesBothStacks) {
  set_gdt(kOther, gate(kCode0, handler(0x50), 0xec, 2));
  put(handler(0x50), {0xca, 0x08, 0x00});
  enter_ring3();
  cpu.segment(SegReg::kEs) = flat(kData0, false);
  run_code({0x6a, 1, 0x6a, 2, 0x9a, 0, 0, 0, 0, kOther, 0x00, 0xf4});
  expect_fault(13, 0) /* HLT in ring 3 */;
  EXPECT_EQ(stack(1), kCode + 11);
  EXPECT_EQ(stack(4), kRing3Stack);
  EXPECT_EQ(selector(SegReg::kEs), 0u) << "ring 0's data segment is dropped";
  EXPECT_EQ(selector(SegReg::kDs), kData3);
}

TEST_F(TransferTest, CallGateThroughA16BitGate) {
  set_gdt(kOther, gate(kCode0, 0x4500, 0xe4, 1));
  poke<uint8_t>(0x4500, 0xf4);
  enter_ring3();
  run_code({0x66, 0x6a, 7, 0x9a, 0, 0, 0, 0, kOther, 0x00});
  EXPECT_EQ(vector(), 0x50);
  EXPECT_EQ(reg(Gpr::kRsp), kTssStack - 10);
  EXPECT_EQ(peek<uint16_t>(kTssStack - 6), 7u);
}

TEST_F(TransferTest, CallGateRefusals) {
  set_gdt(kOther, gate(kCode0, handler(0x50), 0x8c));  // DPL 0
  enter_ring3();
  run_code({0x9a, 0, 0, 0, 0, kOther, 0x00});
  expect_fault(13, kOther);
  cpu.halted = false;
  enter_ring3();
  set_gdt(kOther, gate(kCode0, handler(0x50), 0x6c));
  run_to_halt();
  expect_fault(11, kOther);
  cpu.halted = false;
  enter_ring3();
  set_gdt(kOther, gate(kData0, handler(0x50), 0xec));
  run_to_halt();
  expect_fault(13, kData0);
}

TEST_F(TransferTest, JumpThroughAGateCannotChangeTheRing) {
  set_gdt(kOther, gate(kCode0, handler(0x50), 0xec));
  enter_ring3();
  run_code({0xea, 0, 0, 0, 0, kOther, 0x00});
  expect_fault(13, kCode0);
}

TEST_F(TransferTest, BadInnerStackIsTs) {
  set_gdt(kOther, gate(kCode0, handler(0x50), 0xec));
  poke<uint16_t>(kTss + 8, kData3);
  set_idt(10, gate(kCode3, handler(10), 0x8e));  // a handler in ring 3 needs no inner stack
  poke<uint8_t>(handler(10), 0x90);
  set_idt(13, gate(kCode3, handler(13), 0x8e));
  enter_ring3();
  put(handler(10), {0xeb, 0xfe});
  put(kCode, {0x9a, 0, 0, 0, 0, kOther, 0x00});
  EXPECT_EQ(interp->run({cpu.retired + 5}), ExitReason::kRetiredLimit);
  EXPECT_EQ(cpu.rip, handler(10));
  EXPECT_EQ(stack(0), kData3 & ~3u);
  EXPECT_EQ(cpu.cpl, 3);
}

TEST_F(TransferTest, ConformingCodeKeepsTheRing) {
  enter_ring3();
  put(0x10100, {0xf4});
  run_code({0x9a, 0x00, 0x01, 0x01, 0x00, kConforming, 0x00});
  expect_fault(13, 0);  // HLT, still in ring 3
  EXPECT_EQ(stack(2), kConforming | 3u);
}

TEST_F(TransferTest, NonconformingInnerCodeIsRefused) {
  enter_ring3();
  run_code({0x9a, 0x00, 0x01, 0x01, 0x00, kCode0, 0x00});
  expect_fault(13, kCode0);
}

TEST_F(TransferTest, IretToRing3LoadsFlagsByRing) {
  // push ss, esp, eflags, cs, eip; iret
  run_code({0x6a, kData3, 0x68, 0,      0xa0, 0,    0,    0x68, 0x02, 0x32,
            0,    0,      0x6a, kCode3, 0x68, 0x00, 0x01, 0x01, 0x00, 0xcf});
  put(0x10100, {0x0f, 0x0b});
  enter_ring0();
  cpu.halted = false;
  run_to_halt();
  EXPECT_EQ(vector(), 6);
  EXPECT_EQ(stack(1), kCode3);
  EXPECT_EQ(stack(2) & 0x7fff, 0x3202u);
}

TEST_F(TransferTest, IretToInnerRingIsRefused) {
  enter_ring3();
  run_code({0x68, 0x02, 0, 0, 0, 0x6a, kCode0, 0x68, 0, 1, 1, 0, 0xcf});
  expect_fault(13, kCode0);
}

TEST_F(TransferTest, PopfInRing3ChangesNeitherIfNorIopl) {
  cpu.rflags |= rflags::kIf;
  enter_ring3();
  run_code({0x68, 0xd5, 0x7c, 0x00, 0x00, 0x9d, 0x0f, 0x0b});
  EXPECT_EQ(vector(), 6);
  EXPECT_EQ(stack(2) & 0xffff, 0x4ed7u);
}

TEST_F(TransferTest, SysenterAndSysexit) {
  cpu.msr.sysenter_cs = kCode0;
  cpu.msr.sysenter_esp = 0xb800;
  cpu.msr.sysenter_eip = 0x10100;
  put(0x10100, {0xba, 0x00, 0x02, 0x01, 0x00, 0xb9, 0x00, 0xa8, 0x00, 0x00, 0x0f, 0x35});
  put(0x10200, {0x0f, 0x0b});
  cpu.rflags |= rflags::kIf;
  enter_ring3();
  run_code({0x0f, 0x34});
  EXPECT_EQ(vector(), 6);
  EXPECT_EQ(stack(0), 0x10200u);
  EXPECT_EQ(stack(1), kCode3);
  EXPECT_EQ(stack(2) & rflags::kIf, 0u);
  EXPECT_EQ(stack(3), 0xa800u);
  EXPECT_EQ(stack(4), kData3);
}

TEST_F(TransferTest, LarLslVerrVerw) {
  // mov cx,sel; lar eax,cx; lsl edx,cx; verw cx; setz bl; hlt
  set_gdt(kOther, descriptor(0, 0x12345, 0xf1, 0xc));
  run_code({0x66, 0xb9, kOther, 0,    0x0f, 0x02, 0xc1, 0x0f, 0x03, 0xd1, 0x0f, 0x00,
            0xe9, 0x0f, 0x94,   0xc3, 0x0f, 0x00, 0xe1, 0x0f, 0x94, 0xc7, 0xf4});
  EXPECT_EQ(reg(Gpr::kRax), 0x00c1f100u);
  EXPECT_EQ(reg(Gpr::kRdx), 0x12345fffu);
  EXPECT_EQ(reg(Gpr::kRbx), 0x100u);
}

TEST_F(TransferTest, LdtSegments) {
  poke(kLdt + 8, descriptor(0x40000, 0xff, 0x93, 4));
  // mov ax,LDT; lldt ax; mov ax,0x0c; mov es,ax; hlt
  run_code({0x66, 0xb8, kLdtSelector, 0, 0x0f, 0x00, 0xd0, 0x66, 0xb8, 0x0c, 0, 0x8e, 0xc0, 0xf4});
  EXPECT_EQ(vector(), -1);
  EXPECT_EQ(cpu.segment(SegReg::kEs).base, 0x40000u);
}

TEST_F(TransferTest, Arpl) {
  cpu.reg(Gpr::kRax) = 0x1230;
  cpu.reg(Gpr::kRcx) = 3;
  run_code({0x63, 0xc8, 0xf4});
  EXPECT_EQ(reg(Gpr::kRax), 0x1233u);
  EXPECT_TRUE(cpu.rflags & rflags::kZf);
}

TEST_F(TransferTest, LeavingProtectedModeKeepsLimits) {
  // mov eax,cr0; and al,~1; mov cr0,eax; jmp 0x1000:0x20 (66 ea in 32-bit code)
  put(0x10020, {0x67, 0x66, 0xa1, 0x00, 0x00, 0x20, 0x00, 0xf4});  // mov eax,[dword 0x200000]
  poke<uint32_t>(0x200000, 0xcafe);
  run_code({0x0f, 0x20, 0xc0, 0x24, 0xfe, 0x0f, 0x22, 0xc0, 0x66, 0xea, 0x20, 0x00, 0x00, 0x10});
  // CS still has D = 1 after the jump: the bytes above are 32-bit code there.
  EXPECT_EQ(selector(SegReg::kCs), 0x1000);
  EXPECT_EQ(cpu.segment(SegReg::kDs).limit, 0xffffffffu);
}

}  // namespace
}  // namespace vireo::interp
