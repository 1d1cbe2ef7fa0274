// Operands whose address is a sum that the host makes in 64 bits for a window and the guest in 32.
#include "tests/unit/translator/compared_bench.h"

namespace vireo::translator {
namespace {

class WindowSumTest : public ComparedBench {
 protected:
  /// The first page, the last one, and those on both sides of 80000000h.
  WindowSumTest() {
    mmu.keep_spaces_after(0);
    enable_paging();
    map(0x0000'0000, kPages, kAll | kAccessed | kDirty);
    map(0x7fff'f000, kPages + kPageSize, kAll | kAccessed | kDirty);
    map(0x8000'0000, kPages + 2 * kPageSize, kAll | kAccessed | kDirty);
    map(0xffff'f000, kPages + 3 * kPageSize, kAll | kAccessed | kDirty);
    for (uint32_t at = 0; at < 4 * kPageSize; at += 4) poke<uint32_t>(kPages + at, 0x9e3779b1u * (at + 1));
    engines = {"hot=0,window-after=0", "hot=0,window-after=0,no-adapt", "hot=0,window-after=0,block=2"};
  }
  static constexpr uint32_t kPages = 0x200000;
  uint64_t not_direct() const { return counters.at("translated code/exits: access not direct"); }
};

TEST_F(WindowSumTest, OfLessThan32BitsIsDirect) {
  cpu.reg(Gpr::kRbx) = 0x8000'0010;
  cpu.reg(Gpr::kRcx) = 0x2000'0001;
  cpu.reg(Gpr::kRdx) = 0x7fff'0000;
  run({0x8b, 0x43, 0xe8,                          // mov eax,[ebx-18h]
       0x03, 0x82, 0xfc, 0xff, 0x00, 0x00,        // add eax,[edx+0fffch]
       0x03, 0x04, 0x8d, 0xfc, 0xff, 0xff, 0xff,  // add eax,[ecx*4-4], which is 80000000h
       0x01, 0x44, 0x4b, 0x20,                    // add [ebx+ecx*2+20h],eax: C0000032h, which is not there
       0xf4});
  EXPECT_EQ(vector(), 14);
  EXPECT_EQ(cpu.cr2, 0xc000'0032u);
  EXPECT_EQ(not_direct(), 1u) << "the page fault";
}

TEST_F(WindowSumTest, BeyondTheWindowBeginsAgainAt0) {
  cpu.reg(Gpr::kRbx) = 0xffff'fff0;
  cpu.reg(Gpr::kRcx) = 0x4000'0002;
  cpu.reg(Gpr::kRsi) = 0xffff'ffff;
  run({0x8b, 0x43, 0x18,                          // mov eax,[ebx+18h]
       0x03, 0x04, 0x8d, 0x04, 0x00, 0x00, 0x00,  // add eax,[ecx*4+4]
       0x03, 0x04, 0xf5, 0x20, 0x00, 0x00, 0x00,  // add eax,[esi*8+20h]
       0x01, 0x83, 0x10, 0x00, 0x00, 0x80,        // add [ebx+80000010h],eax
       0x01, 0x86, 0x01, 0x00, 0x00, 0x80,        // add [esi+80000001h],eax
       0xff, 0x76, 0x41,                          // push dword [esi+41h]
       0x8f, 0x46, 0x45,                          // pop dword [esi+45h]
       0xf4});
  EXPECT_GT(not_direct(), 0u);
}

TEST_F(WindowSumTest, BelowTheWindowIsAtItsEnd) {
  cpu.reg(Gpr::kRbx) = 4;
  run({0x8b, 0x43, 0xf0,                          // mov eax,[ebx-10h]
       0x01, 0x43, 0xf4,                          // add [ebx-0ch],eax
       0x03, 0x04, 0x9d, 0xe0, 0xff, 0xff, 0xff,  // add eax,[ebx*4-20h]
       0x03, 0x43, 0xfa,                          // add eax,[ebx-6], which goes on at 0
       0xf4});
  EXPECT_GT(not_direct(), 0u);
}

TEST_F(WindowSumTest, OfTheStackPointer) {
  cpu.reg(Gpr::kRsp) = 0;
  run({0x50, 0x53,                      // push eax; push ebx
       0x8b, 0x44, 0x24, 0x08,          // mov eax,[esp+8], which is 0
       0x59, 0x5a,                      // pop ecx; pop edx
       0x8b, 0x5c, 0x24, 0xfc, 0xf4});  // mov ebx,[esp-4]
}

TEST_F(WindowSumTest, InALoopIsFoundOnce) {
  cpu.reg(Gpr::kRbx) = 0xffff'fff0;
  cpu.reg(Gpr::kRcx) = 100;
  engines = {"hot=0,window-after=0,no-unroll"};
  run({0x03, 0x43, 0x18, 0x49, 0x75, 0xfa, 0xf4});  // add eax,[ebx+18h]; dec ecx; jnz; hlt
  EXPECT_EQ(not_direct(), 1u);
}

}  // namespace
}  // namespace vireo::translator
