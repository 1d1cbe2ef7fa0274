// SYSENTER and SYSEXIT in translated code, between segments of all kinds.
#include <array>

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
  static constexpr std::array<uint8_t, 17> calls(uint32_t back) {
    return {0x89,
            0xe1,
            0xba,
            static_cast<uint8_t>(back),
            static_cast<uint8_t>(back >> 8),
            static_cast<uint8_t>(back >> 16),
            0,
            0xf9,
            0x0f,
            0x34,
            0x13,
            0x04,
            0x24,
            0x4b,
            0x75,
            0xf0,
            0xf4};
  }
  CpuState run_calls() { return run(calls(kBack)); }
  static constexpr uint32_t kBack = kCode + 10;

  /// The same with a page's end inside of SYSENTER.
  CpuState run_calls_across_pages() {
    memory->write({kNextPage - 9}, calls(kNextPage + 1));
    return run({0xe9, 0xf2, 0x0f, 0x00, 0x00});  // jmp kNextPage - 9
  }
  static constexpr uint32_t kNextPage = kCode + kPageSize;
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

TEST_F(SystemCallTest, AcrossPages) {
  cpu.msr.sysenter_eip = kEntry + 0xffc;
  put(kEntry + 0xffc, {0x46, 0x16, 0x5f, 0x0f, 0x35});  // inc esi; push ss; pop edi; sysexit
  enter_ring3();
  EXPECT_EQ(run_calls_across_pages().reg(Gpr::kRsi), 20u);
  EXPECT_EQ(vector(), 13);
}

TEST_F(SystemCallTest, ItsSecondPageIsWrittenTo) {
  // inc esi; cmp esi,10; jne back; mov byte [kNextPage],0bh, which makes it UD2; back: sysexit
  put(kEntry, {0x46, 0x83, 0xfe, 0x0a, 0x75, 0x07, 0xc6, 0x05, 0x00, 0x10, 0x01, 0x00, 0x0b, 0x0f, 0x35});
  enter_ring3();
  EXPECT_EQ(run_calls_across_pages().reg(Gpr::kRsi), 10u);
  EXPECT_EQ(vector(), 6);
}

TEST_F(SystemCallTest, ItsSecondPageIsRemapped) {
  constexpr uint32_t kOtherPage = 0x14000;
  enable_paging();
  put(kOtherPage, {0x0b});  // makes it UD2
  enter_ring3();
  const CpuState start = cpu;
  for (const uint32_t entry : {kOtherPage | kAll, uint32_t{0}}) {
    put(kEntry, {0x46, 0x83, 0xfe, 0x0a, 0x75, 0x14,              // inc esi; cmp esi,10; jne back
                 0xc7, 0x05, 0,    0,    0,    0,    0, 0, 0, 0,  // mov dword [page_entry(kNextPage)],entry
                 0x0f, 0x01, 0x3d, 0,    0x10, 0x01, 0,           // invlpg [kNextPage]
                 0x83, 0xea, 0x02, 0x0f, 0x35});                  // sub edx,2, to SYSENTER; back: sysexit
    poke<uint32_t>(kEntry + 8, page_entry(kNextPage));
    poke<uint32_t>(kEntry + 12, entry);
    EXPECT_EQ(run_calls_across_pages().reg(Gpr::kRsi), 10u);
    EXPECT_EQ(vector(), entry == 0 ? 14 : 6);
    if (entry == 0) {
      EXPECT_EQ(cpu.cr2, kNextPage);
    }
    cpu = start;
    map(kNextPage, kNextPage);
  }
}

TEST_F(SystemCallTest, WrmsrMovesTheEntry) {
  constexpr uint32_t kStacks = 0x14000, kOtherEntry = kEntry ^ 0x100;
  for (const uint32_t entry : {kEntry, kOtherEntry}) {
    put(entry, {0x89, 0xd5, 0x89,
                0xcf,  // mov ebp,edx; mov edi,ecx
                0xb9, 0x74, 0x01,
                0,    0,  // mov ecx,174h
                0x0f, 0x32, 0x83,
                0xc0, 0x10, 0x0f,
                0x30,  // rdmsr; add eax,10h; wrmsr: CS
                0x41, 0x0f, 0x32,
                0x83, 0xe8, 0x20,
                0x0f, 0x30,  // inc ecx; rdmsr; sub eax,20h; wrmsr: ESP
                0x41, 0x0f, 0x32,
                0x80, 0xf4, 0x01,
                0x0f, 0x30,  // inc ecx; rdmsr; xor ah,1; wrmsr: EIP
                0x89, 0xea, 0x89,
                0xf9,  // mov edx,ebp; mov ecx,edi
                0x89, 0x24, 0x9d,
                0,    0x40, 0x01,
                0,           // mov [kStacks+ebx*4],esp
                0x8c, 0xcf,  // mov edi,cs
                0x8d, 0x76, static_cast<uint8_t>(entry == kEntry ? 1 : 0x10),
                0x0f, 0x35});  // lea; sysexit
  }
  enter_ring3();
  const CpuState after = run_calls();
  EXPECT_EQ(after.reg(Gpr::kRsi), 10u + 10 * 0x10) << "each entry every other time";
  EXPECT_EQ(after.reg(Gpr::kRdi), kEntryCs + 19 * 0x10);
  EXPECT_EQ(peek<uint32_t>(kStacks + 4), kEntryStack - 19 * 0x20);
}

TEST_F(SystemCallTest, CallsThatLoadCr3) {
  constexpr uint32_t kOtherDirectory = 0x180000, kOtherTable = 0x181000, kOtherCode = 0x200000,
                     kOtherStack = 0x201000;
  enable_paging();
  // Another address space, with `sbb eax,[esp]` for `adc` and other stacks.
  std::vector<uint8_t> tables(2 * kPageSize);
  memory->read({kDirectory}, tables);
  memory->write({kOtherDirectory}, tables);
  poke<uint32_t>(kOtherDirectory, kOtherTable | kAll);
  poke<uint32_t>(kOtherTable + kCode / kPageSize * 4, kOtherCode | kAll);
  poke<uint32_t>(kOtherTable + kRing3Stack / kPageSize * 4, kOtherStack | kAll);
  memory->write({kOtherCode}, calls(kBack));
  poke<uint8_t>(kOtherCode + 10, 0x1b);
  poke<uint32_t>(kRing3Stack, 0x1000);
  poke<uint32_t>(kOtherStack, 1);
  enter_ring3();
  cpu.reg(Gpr::kRax) = 0;
  const CpuState start = cpu;
  engines.push_back("hot=0,window-after=0,keep-spaces=1");
  for (const uint32_t change : {0u, kDirectory ^ kOtherDirectory}) {
    SCOPED_TRACE(change);
    // inc esi; mov ebp,cr3; xor ebp,change; mov cr3,ebp; sysexit
    put(kEntry, {0x46, 0x0f, 0x20, 0xdd, 0x81, 0xf5, 0, 0, 0, 0, 0x0f, 0x22, 0xdd, 0x0f, 0x35});
    poke<uint32_t>(kEntry + 6, change);
    const CpuState after = run_calls();
    EXPECT_EQ(after.reg(Gpr::kRsi), 20u);
    EXPECT_EQ(after.reg(Gpr::kRax), change == 0 ? 20u * 0x1000 : 10u * 0x1000 - 10);
    cpu = start;
  }
}

}  // namespace
}  // namespace vireo::translator
