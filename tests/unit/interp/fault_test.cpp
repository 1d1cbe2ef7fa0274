// Exceptions: vectors, error codes, priorities, double and triple faults, page faults.
#include "tests/unit/interp/protected_bench.h"

namespace vireo::interp {
namespace {

class FaultTest : public ProtectedBench {
 protected:
  static constexpr uint64_t kDirectory = 0x100000, kTable = 0x101000;
  /// Identity for the first 4 MiB.
  void enable_paging(uint32_t rights = 7) {
    poke<uint32_t>(kDirectory, kTable | 7);
    for (uint32_t i = 0; i < 1024; ++i) poke<uint32_t>(kTable + 4 * i, i << 12 | rights);
    cpu.cr3 = kDirectory;
    cpu.cr0 |= cr0::kPg | cr0::kWp;
    mmu.control_registers_changed();
  }
  void set_page(uint32_t page, uint32_t entry) { poke<uint32_t>(kTable + 4 * page, entry); }
};

TEST_F(FaultTest, UndefinedOpcodeHasNoErrorCode) {
  run_code({0x40, 0x0f, 0x0b});
  EXPECT_EQ(vector(), 6);
  EXPECT_EQ(stack(0), kCode + 1);
  EXPECT_EQ(stack(1), kCode0);
  EXPECT_TRUE(stack(2) & rflags::kRf) << "faults push RF = 1";
  EXPECT_EQ(cpu.retired, 2u) << "INC and HLT";
}

TEST_F(FaultTest, DivideErrorRestartsAtTheInstruction) {
  run_code({0x31, 0xc9, 0xf7, 0xf1});
  EXPECT_EQ(vector(), 0);
  EXPECT_EQ(stack(0), kCode + 2);
}

TEST_F(FaultTest, SelectorsOfBadLoads) {
  run_code({0x66, 0xb8, 0xf8, 0x0f, 0x8e, 0xd8});  // mov ax,0xff8; mov ds,ax
  expect_fault(13, 0xff8);
}

TEST_F(FaultTest, AbsentSegments) {
  set_gdt(kOther, descriptor(0, 0xfffff, 0x13, kFlat));
  run_code({0x66, 0xb8, kOther, 0x00, 0x8e, 0xd8});
  expect_fault(11, kOther);
}

TEST_F(FaultTest, AbsentStackSegment) {
  set_gdt(kOther, descriptor(0, 0xfffff, 0x13, kFlat));
  run_code({0x66, 0xb8, kOther, 0x00, 0x8e, 0xd0});
  expect_fault(12, kOther);
}

TEST_F(FaultTest, NullStackSegment) {
  run_code({0x31, 0xc0, 0x8e, 0xd0});
  expect_fault(13, 0);
}

TEST_F(FaultTest, NullDataSegmentFaultsWhenUsed) {
  run_code({0x31, 0xc0, 0x8e, 0xd8, 0xa1, 0, 0, 0, 0});
  expect_fault(13, 0);
  EXPECT_EQ(stack(1), kCode + 4);
}

TEST_F(FaultTest, LoadingSetsTheAccessedBit) {
  set_gdt(kOther, descriptor(0x12345678, 0x1ff, 0x92, 4));
  run_code({0x66, 0xb8, kOther, 0x00, 0x8e, 0xc0, 0xf4});
  EXPECT_EQ(get_gdt(kOther) >> 40 & 0xff, 0x93u);
  EXPECT_EQ(cpu.segment(SegReg::kEs).base, 0x12345678u);
  EXPECT_EQ(cpu.segment(SegReg::kEs).limit, 0x1ffu);
  EXPECT_EQ(cpu.segment(SegReg::kEs).access, 0x4093u);
}

TEST_F(FaultTest, LimitsAreCheckedForTheWholeOperand) {
  set_gdt(kOther, descriptor(0, 0x1ff, 0x93, 4));
  cpu.segment(SegReg::kDs) = {.base = 0, .limit = 0x1ff, .selector = kOther, .access = 0x4093};
  run_code({0xa1, 0xfc, 1, 0, 0, 0xa1, 0xfd, 1, 0, 0});
  expect_fault(13, 0);
  EXPECT_EQ(stack(1), kCode + 5);
}

TEST_F(FaultTest, ExpandDownSegments) {
  cpu.segment(SegReg::kDs) = {.base = 0, .limit = 0xfff, .selector = kOther, .access = 0x4097};
  run_code({0xa1, 0x00, 0x10, 0, 0, 0xa1, 0xff, 0x0f, 0, 0});
  expect_fault(13, 0);
  EXPECT_EQ(stack(1), kCode + 5);
}

TEST_F(FaultTest, WritesToReadOnlyAndCodeSegments) {
  cpu.segment(SegReg::kDs).access = 0xc091;
  run_code({0xa3, 0, 2, 0, 0});
  expect_fault(13, 0);
  enter_ring0();
  cpu.halted = false;
  run_code({0x2e, 0xa3, 0, 2, 0, 0});  // mov [cs:0x200],eax
  expect_fault(13, 0);
}

TEST_F(FaultTest, ExecuteOnlyCodeCannotBeRead) {
  cpu.segment(SegReg::kCs).access = 0xc099;
  run_code({0x2e, 0xa1, 0, 2, 0, 0});
  expect_fault(13, 0);
}

TEST_F(FaultTest, StackLimitIsSs) {
  cpu.segment(SegReg::kSs) = {.base = 0, .limit = 0x7fff, .selector = kData0, .access = 0x4093};
  cpu.reg(Gpr::kRsp) = 0x7000;
  run_code({0xbd, 0x00, 0x80, 0, 0, 0x8b, 0x45, 0xfe});  // mov ebp,0x8000; mov eax,[ebp-2]
  expect_fault(12, 0);
}

TEST_F(FaultTest, PrivilegedInstructionsInRing3) {
  enter_ring3();
  run_code({0x0f, 0x20, 0xc0});  // mov eax,cr0
  expect_fault(13, 0);
  EXPECT_EQ(reg(Gpr::kRsp), kTssStack - 24) << "the handler runs on the ring 0 stack";
  EXPECT_EQ(stack(2), kCode3);
  EXPECT_EQ(stack(4), kRing3Stack);
  EXPECT_EQ(stack(5), kData3);
  EXPECT_EQ(cpu.cpl, 0);
}

TEST_F(FaultTest, SoftwareInterruptNeedsGatePrivilege) {
  enter_ring3();
  run_code({0xcd, 0x20});
  expect_fault(13, 0x20 * 8 + 2);
  EXPECT_EQ(stack(1), kCode);
}

TEST_F(FaultTest, SoftwareInterruptReturnsBehindItself) {
  enter_ring3();
  run_code({0xcd, 0x90});
  EXPECT_EQ(vector(), 0x90);
  EXPECT_EQ(stack(0), kCode + 2);
}

TEST_F(FaultTest, VectorBeyondTheIdt) {
  cpu.idtr.limit = 0x100;
  run_code({0xcd, 0x90});
  expect_fault(13, 0x90 * 8 + 2);
}

TEST_F(FaultTest, ExternalInterruptThroughAnAbsentGate) {
  set_idt(0x70, gate(kCode0, handler(0x70), 0x0e));
  interrupts.vector = 0x70;
  cpu.rflags |= rflags::kIf;
  run_code({0x90, 0x90});
  expect_fault(11, 0x70 * 8 + 2 + 1);
}

TEST_F(FaultTest, ContributoryFaultsMakeADoubleFault) {
  set_idt(13, 0);
  run_code({0x66, 0xb8, 0xf8, 0x0f, 0x8e, 0xd8});
  expect_fault(8, 0);
}

TEST_F(FaultTest, BenignThenContributoryIsHandledInTurn) {
  set_idt(6, 0);
  run_code({0x0f, 0x0b});
  expect_fault(13, 6 * 8 + 2 + 1);
}

TEST_F(FaultTest, FaultInTheDoubleFaultHandlerShutsDown) {
  set_idt(13, 0);
  set_idt(8, 0);
  put(kCode, {0x66, 0xb8, 0xf8, 0x0f, 0x8e, 0xd8});
  EXPECT_EQ(interp->run({1000}), ExitReason::kShutdown);
  EXPECT_TRUE(cpu.shutdown);
  EXPECT_EQ(interp->run({2000}), ExitReason::kShutdown);
}

TEST_F(FaultTest, PageFaultErrorCodeAndCr2) {
  enable_paging();
  set_page(0x300, 0);
  run_code({0xa3, 0x34, 0x02, 0x30, 0x00});  // mov [0x300234],eax
  expect_fault(14, 2);
  EXPECT_EQ(cpu.cr2, 0x300234u);
  EXPECT_EQ(stack(1), kCode);
}

TEST_F(FaultTest, PageFaultAcrossPagesWritesNothing) {
  enable_paging();
  set_page(0x300, 0);
  run_code({0xb8, 0xff, 0xff, 0xff, 0xff, 0xa3, 0xfe, 0xff, 0x2f, 0x00});
  expect_fault(14, 2);
  EXPECT_EQ(cpu.cr2, 0x300000u) << "the first byte that faults";
  EXPECT_EQ(peek<uint16_t>(0x2ffffe), 0u);
}

TEST_F(FaultTest, FetchFaultReportsTheSecondPage) {
  enable_paging();
  set_page(0x11, 0);
  put(0x10ffe, {0xb8, 0x34});
  cpu.rip = 0x10ffe;
  run_to_halt();
  expect_fault(14, 0);
  EXPECT_EQ(cpu.cr2, 0x11000u);
  EXPECT_EQ(stack(1), 0x10ffeu);
}

TEST_F(FaultTest, UserFaultsAndHandlerReturn) {
  enable_paging();
  set_page(0x300, 0x300003);  // supervisor only
  enter_ring3();
  run_code({0xa1, 0x00, 0x00, 0x30, 0x00});
  expect_fault(14, 5);
}

TEST_F(FaultTest, AKnownPageFaultIsDeliveredAsOneThatIsFound) {
  enable_paging();
  set_page(0x300, 0x300003);
  enter_ring3();
  interp->begin_run();
  interp->context.attention.clear(Attention::kInterrupt);
  cpu.pending_dr6 = 1;
  const uint64_t retired = cpu.retired;
  EXPECT_EQ(interp->fault_plain({{0x300234}, 7}), Interp::PlainResult::kElsewhere);
  EXPECT_EQ(cpu.rip, handler(14));
  EXPECT_EQ(cpu.cpl, 0);
  EXPECT_EQ(cpu.cr2, 0x300234u);
  EXPECT_EQ(stack(0), 7u);
  EXPECT_EQ(stack(1), kCode);
  EXPECT_TRUE(stack(3) & rflags::kRf);
  EXPECT_EQ(cpu.retired, retired);
  EXPECT_EQ(cpu.pending_dr6, 0u);
  unsigned more = 0;
  for (; more < 100'000; ++more) {
    cpu.reg(Gpr::kRsp) = kRing0Stack;
    if (interp->fault_plain({{0x300234}, 7}) == Interp::PlainResult::kStop) break;
  }
  EXPECT_LT(more, 100'000u) << "a guest that does nothing else does not keep requests waiting";
}

TEST_F(FaultTest, PageFaultWhileDeliveringAPageFaultIsDouble) {
  enable_paging();
  set_page(0x300, 0);
  set_page(0x301, 0);
  cpu.reg(Gpr::kRsp) = 0x302000 - 0x1000;  // the ring 0 stack is not there
  set_idt(8, gate(kOther, 0, 0x85));       // double fault: a task of its own
  put(kCode, {0xa1, 0x00, 0x00, 0x30, 0x00});
  EXPECT_EQ(interp->run({1000}), ExitReason::kShutdown) << "and without a good gate, triple";
}

TEST_F(FaultTest, AlignmentCheckInRing3Only) {
  cpu.cr0 |= cr0::kAm;
  cpu.rflags |= rflags::kAc;
  run_code({0xa1, 0x01, 0x02, 0x00, 0x00, 0xf4});
  EXPECT_EQ(vector(), -1);
  cpu.halted = false;
  enter_ring3();
  run_code({0xa1, 0x00, 0x02, 0x00, 0x00, 0x8b, 0x0d, 0x01, 0x02, 0, 0});
  expect_fault(17, 0);
  EXPECT_EQ(stack(1), kCode + 5);
}

TEST_F(FaultTest, FxsaveAndFxrstorLookAtAlignmentBeforeTheSegmentsType) {
  constexpr uint8_t kSave = 0x05, kRestore = 0x0d;
  cpu.cr0 |= cr0::kAm;
  cpu.cr4 |= cr4::kOsfxsr;
  for (uint8_t modrm : {kSave, kRestore}) {
    for (uint8_t address : {0x00, 0x01, 0x04}) {
      enter_ring3();
      cpu.halted = false;
      cpu.rflags |= rflags::kAc;
      cpu.segment(SegReg::kDs).access = 0xc0f9;  // execute-only code
      run_code({0x0f, 0xae, modrm, address, 0x02, 0x00, 0x00});
      expect_fault(address == 0x01 ? 17 : 13, 0);
    }
  }
}

TEST_F(FaultTest, CodeSegmentLimitOnJumps) {
  cpu.segment(SegReg::kCs).limit = 0x1ffff;
  run_code({0xe9, 0x00, 0x00, 0x01, 0x00});  // to 0x20005
  expect_fault(13, 0);
  EXPECT_EQ(stack(1), kCode);
}

TEST_F(FaultTest, IoPermissionBitmap) {
  enter_ring3();
  for (unsigned i = 0; i < 0x20; ++i) poke<uint8_t>(kTss + 0x88 + i, 0);
  poke<uint8_t>(kTss + 0x88 + 0x84 / 8, 0x20);                 // port 0x85
  run_code({0xe6, 0x84, 0x66, 0xe7, 0x83, 0x66, 0xe7, 0x84});  // the last touches 0x85
  expect_fault(13, 0);
  EXPECT_EQ(stack(1), kCode + 5);
  EXPECT_EQ(echo.writes, 2u);
}

TEST_F(FaultTest, IoPermissionBitmapBeyondTheTss) {
  enter_ring3();
  cpu.tr.limit = 0x88 + 0x10;
  run_code({0xe6, 0x80});
  expect_fault(13, 0);
}

TEST_F(FaultTest, PaeReservedBitsInPdptes) {
  cpu.cr4 = cr4::kPae;
  poke<uint64_t>(0x200000, 1 | 1ull << 40);
  cpu.cr0 |= cr0::kPg;
  poke<uint64_t>(0x300000, 0x301001);
  poke<uint64_t>(0x301000, 0x83);
  cpu.pdpte[0] = 0x301001;
  mmu.control_registers_changed();
  run_code({0xb8, 0x00, 0x00, 0x20, 0x00, 0x0f, 0x22, 0xd8});  // mov eax,0x200000; mov cr3,eax
  expect_fault(13, 0);
}

}  // namespace
}  // namespace vireo::interp
