// Several pushes and pops change ESP's register once; wherever the guest looks, ESP is right.
#include <vector>

#include "tests/unit/translator/compared_bench.h"

namespace vireo::translator {
namespace {

using Bytes = std::vector<uint8_t>;

class DeferredEspTest : public ComparedBench {
 protected:
  static constexpr uint32_t kMmio = 0x1000'0000, kMissing = 0x200000;

  DeferredEspTest() {
    engines = {"hot=0",
               "hot=0,window-after=0",
               "hot=0,no-windows,window-after=0",
               "hot=0,no-windows,no-trust",
               "hot=0,no-windows,no-trust,no-groups",
               "hot=0,window-after=0,block=3",
               "hot=0,window-after=0,no-defer-esp"};
    memory->map_mmio({kMmio}, kPageSize, registers, "registers");
    for (unsigned n = 0; n < 8; ++n) cpu.gpr[n] = 0x1111'1111u * (n + 1);
    cpu.reg(Gpr::kRsp) = 0x9000;
  }
  static Bytes joined(std::initializer_list<Bytes> parts) {
    Bytes all;
    for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  }

  /// The same for every engine.
  class Constant final : public IoRegion {
    uint64_t read(uint32_t offset, unsigned) override { return 0x5a5a'0000 + offset; }
    void write(uint32_t, unsigned, uint64_t) override {}
  };
  Constant registers;

  static inline const Bytes kHlt = {0xf4};
  static inline const Bytes kPushes = {0x50, 0x51, 0x52, 0x53};  // push eax; push ecx; push edx; push ebx
  static inline const Bytes kPops = {0x5f, 0x5e, 0x5b};          // pop edi; pop esi; pop ebx
};

TEST_F(DeferredEspTest, FunctionsBeginAndEnd) {
  const Bytes body = {0x55, 0x89, 0xe5, 0x57, 0x56,
                      0x53,                          // push ebp; mov ebp,esp; push edi; push esi; push ebx
                      0x83, 0xec, 0x10, 0x39, 0xc8,  // sub esp,10h; cmp eax,ecx
                      0x89, 0x44, 0x24, 0x04,        // mov [esp+4],eax
                      0x8b, 0x7c, 0x24, 0x10,        // mov edi,[esp+10h]
                      0x8d, 0x54, 0x24, 0x0c,        // lea edx,[esp+0ch]
                      0x0f, 0x92, 0x04, 0x24,        // setc [esp]
                      0x83, 0xc4, 0x10, 0x85, 0xc0,  // add esp,10h; test eax,eax
                      0x5b, 0x5e, 0x5f, 0x5d};       // pop ebx; pop esi; pop edi; pop ebp
  EXPECT_EQ(run(joined({body, kHlt})).reg(Gpr::kRsp), 0x9000u);
  const uint64_t without = counters["blocks/host bytes"];
  engines = {"hot=0,window-after=0"};
  run(joined({body, kHlt}));
  EXPECT_LT(counters["blocks/host bytes"], without);
}

TEST_F(DeferredEspTest, EveryUseOfTheStackPointerBetweenPushes) {
  const Bytes uses[] = {
      {0x54},                                // push esp
      {0x5c},                                // pop esp
      {0xff, 0x74, 0x24, 0x04},              // push [esp+4]
      {0x8f, 0x44, 0x24, 0x04},              // pop [esp+4]
      {0x8f, 0x04, 0x24},                    // pop [esp]
      {0x89, 0xe5},                          // mov ebp,esp
      {0x8b, 0xec},                          // the other way to write that
      {0x66, 0x89, 0xe5},                    // mov bp,sp
      {0x89, 0xec},                          // mov esp,ebp
      {0x83, 0xc4, 0x08, 0x39, 0xc8},        // add esp,8; cmp eax,ecx
      {0x83, 0xec, 0x80, 0x39, 0xc8},        // sub esp,-80h; cmp eax,ecx
      {0x81, 0xec, 0, 1, 0, 0, 0x39, 0xc8},  // sub esp,100h; cmp eax,ecx
      {0x83, 0xec, 0x04},                    // sub esp,4, whose flags HLT shows
      {0x66, 0x83, 0xec, 0x04, 0x39, 0xc8},  // sub sp,4; cmp eax,ecx
      {0x87, 0xe5},                          // xchg esp,ebp
      {0x8d, 0x64, 0x24, 0x08},              // lea esp,[esp+8]
      {0x8d, 0x44, 0xc4, 0x08},              // lea eax,[esp+eax*8+8]
      {0x8d, 0x04, 0x24},                    // lea eax,[esp]
      {0x66, 0x8d, 0x44, 0x24, 0x08},        // lea ax,[esp+8]
      {0x03, 0x44, 0x24, 0x04},              // add eax,[esp+4]
      {0x01, 0x44, 0x24, 0x04},              // add [esp+4],eax
      {0x28, 0x64, 0x24, 0x04},              // sub [esp+4],ah
      {0x0f, 0xab, 0x44, 0x24, 0x04},        // bts [esp+4],eax
      {0x39, 0xe0},                          // cmp eax,esp
      {0xc9},                                // leave
      {0xc8, 4, 0, 1},                       // enter 4,1
      {0x60, 0x61},                          // pusha; popa
      {0x9c, 0x9d},                          // pushf; popf
      {0x0e, 0x16, 0x1f},                    // push cs; push ss; pop ds
      {0x66, 0x50, 0x66, 0x59},              // push ax; pop cx
      {0x6a, 0xff, 0x68, 1, 2, 3, 4},        // push -1; push 4030201h
      {0x67, 0x8b, 0x07},                    // mov eax,[bx]
      {0x0f, 0xa2},                          // cpuid
      {0xd9, 0x44, 0x24, 0x04},              // fld dword [esp+4]
      {0x0f, 0x10, 0x44, 0x24, 0x04},        // movups xmm0,[esp+4]
      {0x39, 0xc8, 0x72, 0x01, 0x50},        // cmp eax,ecx; jb over; push eax
  };
  cpu.reg(Gpr::kRbp) = 0x8f00;
  cpu.reg(Gpr::kRbx) = 0x9100;
  cpu.cr4 |= cr4::kOsfxsr;
  for (uint32_t at = 0x8000; at < 0xa000; at += 4) poke<uint32_t>(at, 0x8800 + at % 0x400);
  for (const Bytes& use : uses) {
    SCOPED_TRACE(testing::PrintToString(use));
    run(joined({kPushes, use, kHlt}));
    run(joined({kPushes, use, kPushes, kPops, kHlt}));
    run(joined({kPops, use, kPops, kHlt}));
  }
}

TEST_F(DeferredEspTest, FaultsShowIt) {
  enable_paging();
  map(kMissing, 0, 0);
  cpu.reg(Gpr::kRdi) = kMissing;
  cpu.segment(SegReg::kEs).limit = 0xffff;
  const Bytes faults[] = {
      {0x89, 0x17},                                // mov [edi],edx
      {0x8b, 0x17},                                // mov edx,[edi]
      {0x03, 0x57, 0xfe},                          // add edx,[edi-2], which crosses into the page
      {0x28, 0x27},                                // sub [edi],ah
      {0x26, 0x8b, 0x17},                          // mov edx,es:[edi], beyond the limit
      {0x31, 0xd2, 0xf7, 0xf2},                    // xor edx,edx; div edx
      {0xff, 0x37},                                // push [edi]
      {0xff, 0x17},                                // call [edi]
      {0x0f, 0x0b},                                // ud2
      {0x83, 0xec, 0x08, 0x39, 0xc8, 0x89, 0x17},  // sub esp,8; cmp eax,ecx; mov [edi],edx
  };
  for (const Bytes& fault : faults) {
    SCOPED_TRACE(testing::PrintToString(fault));
    run(joined({kPushes, fault, kHlt}));
    run(joined({kPushes, {0x5d}, fault, kHlt}));  // pop ebp before it
    cpu.reg(Gpr::kRsp) -= 0x100;
    run(joined({{0x5d, 0x5b}, fault, kHlt}));
    cpu.reg(Gpr::kRsp) += 0x100;
  }
}

TEST_F(DeferredEspTest, FaultsOfTheStackItself) {
  enable_paging();
  map(0xc000, 0, 0);
  enter_ring3();
  cpu.reg(Gpr::kRsp) = 0xd008;
  run(joined({kPushes, kHlt}));  // the third
  cpu.reg(Gpr::kRsp) = 0xbff8;
  run(joined({kPops, kHlt}));
  cpu.reg(Gpr::kRsp) = 0xd004;
  run({0x50, 0xe8, 0, 0, 0, 0, 0xf4});  // push eax; call
  cpu.reg(Gpr::kRsp) = 0xbffc;
  run({0x58, 0xc3});  // pop eax; ret
}

TEST_F(DeferredEspTest, MoreThanASiteHolds) {
  enable_paging();
  map(kMissing, 0, 0);
  cpu.reg(Gpr::kRdi) = kMissing;
  const Bytes many(40, 0x50);
  run(joined({many, {0x89, 0x17}, kHlt}));
  const Bytes pops(40, 0x5b);
  cpu.reg(Gpr::kRsp) = 0x8f00;
  run(joined({pops, {0x89, 0x17}, kHlt}));
}

TEST_F(DeferredEspTest, TheInterpreterInBetween) {
  cpu.reg(Gpr::kRsi) = kMmio;
  // again: push ecx; push eax; mov eax,[esi]; push eax; pop edx; add [esi],edx; pop eax; pop ecx; dec ecx;
  // jnz again
  cpu.reg(Gpr::kRcx) = 40;
  run({0x51, 0x50, 0x8b, 0x06, 0x50, 0x5a, 0x01, 0x16, 0x58, 0x59, 0x49, 0x75, 0xf3, 0xf4});
  // again: push [esi]; push eax; pop [esi]; pop ebx; dec ecx; jnz again
  run({0xff, 0x36, 0x50, 0x8f, 0x06, 0x5b, 0x49, 0x75, 0xf7, 0xf4});
}

TEST_F(DeferredEspTest, CallsAndReturns) {
  // push eax; push ecx; call f; add esp,8 ... f: push ebx; mov ebx,[esp+8]; add ebx,[esp+12]; pop ebx; ret
  run({0x50, 0x51, 0xe8, 0x04, 0,    0,    0,    0x83, 0xc4, 0x08, 0xf4,  //
       0x53, 0x8b, 0x5c, 0x24, 0x08, 0x03, 0x5c, 0x24, 0x0c, 0x5b, 0xc3});
  // The same with ret 8.
  run({0x50, 0x51, 0xe8, 0x01, 0, 0, 0, 0xf4,  //
       0x53, 0x8b, 0x5c, 0x24, 0x08, 0x5b, 0xc2, 0x08, 0});
  // push f; push ecx; call [esp+4]; hlt; f: pop eax; push eax; ret
  const auto f = static_cast<uint32_t>(kCode + 11);
  run({0x68, static_cast<uint8_t>(f), static_cast<uint8_t>(f >> 8), static_cast<uint8_t>(f >> 16), 0, 0x51,
       0xff, 0x54, 0x24, 0x04, 0xf4, 0x58, 0x50, 0xc3});
}

TEST_F(DeferredEspTest, ReturnsToAddressesThatNoPairHas) {
  // A handler of one HLT at 0, and above 2 GiB.
  enable_paging();
  map(0x9000'0000, 0x30000);
  poke<uint8_t>(0x30000, 0xf4);
  poke<uint8_t>(0, 0xf4);
  run({0x6a, 0x00, 0xc3});                    // push 0; ret
  run({0x68, 0x00, 0x00, 0x00, 0x90, 0xc3});  // push 90000000h; ret
}

TEST_F(DeferredEspTest, CallsAbove2GiB) {
  enable_paging();
  map(0x9000'0000, 0x30000);
  // mov ecx,10; again: call f; dec ecx; jnz again; hlt; f: push ecx; pop edx; ret
  memory->write({0x30000},
                Bytes{0xb9, 10, 0, 0, 0, 0xe8, 0x04, 0, 0, 0, 0x49, 0x75, 0xf8, 0xf4, 0x51, 0x5a, 0xc3});
  const CpuState end = run({0x68, 0x00, 0x00, 0x00, 0x90, 0xc3});
  EXPECT_EQ(end.reg(Gpr::kRdx), 1u);
}

}  // namespace
}  // namespace vireo::translator
