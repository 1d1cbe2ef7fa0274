// RDTSC in translated code, with a TSC that counts retired instructions. The oracle is the interpreter.
#include "tests/unit/translator/compared_bench.h"

namespace vireo::translator {
namespace {

using RdtscTest = ComparedBench;

TEST_F(RdtscTest, CountsInTheMiddleOfABlock) {
  // xor ecx,ecx; stc; rdtsc; adc ecx,eax; rdtsc; adc edx,edx; sub eax,ecx; mov ebx,eax; nop; hlt
  const CpuState after = run(
      {0x31, 0xc9, 0xf9, 0x0f, 0x31, 0x11, 0xc1, 0x0f, 0x31, 0x11, 0xd2, 0x29, 0xc8, 0x89, 0xc3, 0x90, 0xf4});
  EXPECT_NE(after.reg(Gpr::kRbx), 0u);
}

TEST_F(RdtscTest, BehindASideExitAndInAnUnrolledLoop) {
  // mov ecx,9; again: test cl,2; jz next; inc esi; next: rdtsc; xor edi,eax; rol edi,3; dec ecx; jnz again;
  // hlt
  run({0xb9, 0x09, 0x00, 0x00, 0x00, 0xf6, 0xc1, 0x02, 0x74, 0x01, 0x46,
       0x0f, 0x31, 0x31, 0xc7, 0xc1, 0xc7, 0x03, 0x49, 0x75, 0xf0, 0xf4});
}

TEST_F(RdtscTest, KeepsTheFloatingPointUnits) {
  cpu.cr0 |= cr0::kNe;
  cpu.cr4 |= cr4::kOsfxsr;
  cpu.fx.fcw = 0x37f;
  cpu.fx.mxcsr = 0x1f80;
  // fninit; fldpi; rdtsc; fld1; faddp; movd xmm0,eax; rdtsc; fsqrt; hlt
  run({0xdb, 0xe3, 0xd9, 0xeb, 0x0f, 0x31, 0xd9, 0xe8, 0xde, 0xc1, 0x66, 0x0f, 0x6e, 0xc0, 0x0f, 0x31, 0xd9,
       0xfa, 0xf4});
}

TEST_F(RdtscTest, ProgramsMayNotHaveIt) {
  cpu.cr4 |= cr4::kTsd;
  run({0x0f, 0x31, 0xf4});
  EXPECT_EQ(vector(), -1);
  cpu.halted = false;
  enter_ring3();
  run({0x90, 0x0f, 0x31, 0xf4});
  EXPECT_EQ(vector(), 13);
}

}  // namespace
}  // namespace vireo::translator
