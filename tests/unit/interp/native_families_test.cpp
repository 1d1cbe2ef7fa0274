#include <bit>
#include <cmath>
#include <cstring>

#include "core/interp/fx_state.h"
#include "tests/unit/interp/bare_cpu.h"

namespace vireo::interp {
namespace {

class NativeFamilies : public BareCpu {
 protected:
  uint32_t xmm32(unsigned r, unsigned lane) const {
    uint32_t value;
    std::memcpy(&value, &cpu.fx.xmm[r][4 * lane], sizeof value);
    return value;
  }
  void set_xmm(unsigned r, float value) {
    for (unsigned i = 0; i < 4; ++i) std::memcpy(&cpu.fx.xmm[r][4 * i], &value, sizeof value);
  }
  uint16_t st_exponent(unsigned i) const {
    uint16_t value;
    std::memcpy(&value, &cpu.fx.st[i][8], sizeof value);
    return value;
  }
  uint64_t st_significand(unsigned i) const {
    uint64_t value;
    std::memcpy(&value, &cpu.fx.st[i][0], sizeof value);
    return value;
  }
};

constexpr uint16_t kExponentOf1 = 0x3fff;

TEST_F(NativeFamilies, X87ArithmeticThroughMemory) {
  put<double>(kData, 1.5);
  put<float>(kData + 8, 2.25f);
  ebx() = kData;
  run({0xdd, 0x03});        // fld qword [ebx]
  run({0xd8, 0x43, 0x08});  // fadd dword [ebx + 8]
  run({0xdd, 0x5b, 0x10});  // fstp qword [ebx + 16]
  EXPECT_EQ(get<double>(kData + 16), 3.75);
  EXPECT_EQ(cpu.fx.ftw, 0);
  EXPECT_EQ(x87_top(cpu.fx), 0u);
  EXPECT_EQ(cpu.fx.fip, kCode);
  EXPECT_EQ(cpu.fx.fcs, cpu.segment(SegReg::kCs).selector);
}

TEST_F(NativeFamilies, UnmaskedX87ExceptionWaitsForTheNextInstruction) {
  cpu.fx.fcw = 0x37b;  // ZM clear
  run({0xd9, 0xe8});   // fld1
  run({0xd9, 0xee});   // fldz
  run({0xde, 0xf9});   // fdivp st1, st0
  EXPECT_TRUE(cpu.fx.fsw & fsw::kEs);
  EXPECT_EQ(cpu.fx.fop, 0x6f9);
  EXPECT_EQ(st_exponent(1), kExponentOf1);  // operands stay
  run({0xdf, 0xe0});                        // fnstsw ax does not wait
  EXPECT_EQ(eax() & 0xff, 0x84u);
  EXPECT_EQ(execute({0x9b}), kMf);        // fwait
  EXPECT_EQ(execute({0xd9, 0xe8}), kMf);  // fld1
  run({0xdb, 0xe2});                      // fnclex
  EXPECT_FALSE(cpu.fx.fsw & (fsw::kEs | fsw::kB));
  run({0x9b});
}

TEST_F(NativeFamilies, ErrorReportedThroughFerr) {
  std::optional<bool> ferr;
  context.ferr = [&](bool level) { ferr = level; };
  cpu.cr0 &= ~cr0::kNe;
  cpu.fx.fcw = 0x37b;  // ZM clear
  run({0xd9, 0xe8});   // fld1
  run({0xd9, 0xee});   // fldz
  run({0xd8, 0xf9});   // fdivr st0, st1: 1 / 0
  EXPECT_EQ(ferr, std::nullopt);
  // No interrupt can come, as with IGNNE# active: the instruction goes ahead.
  run({0xd9, 0xe8});  // fld1
  EXPECT_EQ(ferr, true);
  EXPECT_EQ(st_exponent(0), kExponentOf1);
  EXPECT_TRUE(cpu.fx.fsw & fsw::kEs);
  EXPECT_TRUE(cpu.fx.fsw & fsw::kZe);
  run({0xdb, 0xe2});  // fnclex
  EXPECT_EQ(ferr, false);
}

TEST_F(NativeFamilies, UnmaskedUnderflowOfAnExactResult) {
  cpu.fx.fcw = 0x36f;  // UM clear
  put<uint64_t>(kData, 0x8000000000000000);
  put<uint16_t>(kData + 8, 1);
  ebx() = kData;
  run({0xdb, 0x2b});  // fld tbyte [ebx]: the smallest normal number
  put<float>(kData + 16, 0.5f);
  run({0xd8, 0x4b, 0x10});  // fmul dword [ebx + 16]
  EXPECT_TRUE(cpu.fx.fsw & fsw::kUe);
  EXPECT_TRUE(cpu.fx.fsw & fsw::kEs);
}

TEST_F(NativeFamilies, UnmaskedOverflowDoesNotStore) {
  cpu.fx.fcw = 0x377;  // OM clear
  put<double>(kData, 1e300);
  put<float>(kData + 8, 42.0f);
  ebx() = kData;
  run({0xdd, 0x03});        // fld qword [ebx]
  run({0xd9, 0x5b, 0x08});  // fstp dword [ebx + 8]
  EXPECT_EQ(get<float>(kData + 8), 42.0f);
  EXPECT_EQ(cpu.fx.fdp, kData + 8);
  EXPECT_EQ(x87_top(cpu.fx), 7u);  // not popped
}

TEST_F(NativeFamilies, LoadingAControlWordUnmasksAPendingException) {
  run({0xd9, 0xe8});
  run({0xd9, 0xee});
  run({0xde, 0xf9});  // masked 1/0
  EXPECT_FALSE(cpu.fx.fsw & fsw::kEs);
  put<uint16_t>(kData, 0x37b);
  ebx() = kData;
  run({0xd9, 0x2b});  // fldcw [ebx]
  EXPECT_TRUE(cpu.fx.fsw & fsw::kEs);
  EXPECT_EQ(execute({0xd9, 0xe8}), kMf);
}

TEST_F(NativeFamilies, FaultingStoreDoesNotPop) {
  run({0xd9, 0xe8});
  const FxState before = cpu.fx;
  cpu.segment(SegReg::kDs).limit = 0xfff;
  interp->mode_changed();
  ebx() = 0x1000;
  EXPECT_EQ(execute({0xdd, 0x1b}), kGp);  // fstp qword [ebx]
  EXPECT_EQ(std::memcmp(&before, &cpu.fx, sizeof before), 0);
}

TEST_F(NativeFamilies, EnvironmentInProtectedModeFormat) {
  cpu.fx.fop = 0x123;
  cpu.fx.fip = 0x11223344;
  cpu.fx.fcs = 0x8;
  cpu.fx.fdp = 0x55667788;
  cpu.fx.fds = 0x10;
  cpu.fx.fcw = 0x37a;
  cpu.fx.ftw = 0x03;  // registers 0 and 1: a 0 and a special
  std::memset(&cpu.fx.st[1][0], 0, 10);
  cpu.fx.st[1][8] = 0xff;
  cpu.fx.st[1][9] = 0x7f;
  ebx() = kData;
  run({0xd9, 0x33});  // fnstenv [ebx]
  EXPECT_EQ(get<uint32_t>(kData), 0xffff037au);
  EXPECT_EQ(get<uint32_t>(kData + 4), 0xffff0000u);
  EXPECT_EQ(get<uint32_t>(kData + 8), 0xfffffff9u);
  EXPECT_EQ(get<uint32_t>(kData + 12), 0x11223344u);
  EXPECT_EQ(get<uint32_t>(kData + 16), 0x01230008u);
  EXPECT_EQ(get<uint32_t>(kData + 20), 0x55667788u);
  EXPECT_EQ(get<uint32_t>(kData + 24), 0xffff0010u);
  EXPECT_EQ(cpu.fx.fcw, 0x37f);
  const X87Pointers pointers = X87Pointers::of(cpu.fx);
  run({0xdb, 0xe3});  // fninit
  EXPECT_EQ(cpu.fx.fip, 0u);
  run({0xd9, 0x23});  // fldenv [ebx]
  EXPECT_EQ(cpu.fx.fip, pointers.fip);
  EXPECT_EQ(cpu.fx.fop, pointers.fop);
  EXPECT_EQ(cpu.fx.fds, pointers.fds);
  EXPECT_EQ(cpu.fx.ftw, 0x03);
}

TEST_F(NativeFamilies, EnvironmentInRealModeFormatHasLinearAddresses) {
  cpu.fx.fop = 0x123;
  cpu.fx.fip = 0x4321;
  cpu.fx.fcs = 0x9000;
  cpu.fx.fdp = 0x8765;
  cpu.fx.fds = 0xa000;
  set_code_size(16);
  cpu.cr0 &= ~cr0::kPe;
  interp->mode_changed();
  ebx() = kData;
  run({0xd9, 0x37});  // fnstenv [bx]
  EXPECT_EQ(get<uint16_t>(kData + 6), 0x4321u);
  EXPECT_EQ(get<uint16_t>(kData + 8), 0x9123u);
  EXPECT_EQ(get<uint16_t>(kData + 10), 0x8765u);
  EXPECT_EQ(get<uint16_t>(kData + 12), 0xa000u);
}

TEST_F(NativeFamilies, SaveAndRestoreKeepTheStack) {
  run({0xd9, 0xe8});  // fld1
  run({0xd9, 0xeb});  // fldpi
  const uint64_t pi = st_significand(0);
  ebx() = kData;
  run({0xdd, 0x33});  // fnsave [ebx]
  EXPECT_EQ(cpu.fx.ftw, 0);
  EXPECT_EQ(cpu.fx.fsw, 0);
  run({0xdd, 0x23});  // frstor [ebx]
  EXPECT_EQ(st_significand(0), pi);
  EXPECT_EQ(st_exponent(1), kExponentOf1);
  EXPECT_EQ(x87_top(cpu.fx), 6u);
  EXPECT_EQ(cpu.fx.ftw, 0xc0);
}

TEST_F(NativeFamilies, CompareSetsFlagsAndConditionalMoveReadsThem) {
  cpu.rflags |= rflags::kOf | rflags::kSf | rflags::kAf;
  run({0xd9, 0xe8});  // fld1
  run({0xd9, 0xee});  // fldz
  run({0xdb, 0xf1});  // fcomi st0, st1
  EXPECT_EQ(cpu.rflags & rflags::kArithmetic, rflags::kCf);
  run({0xda, 0xc1});  // fcmovb st0, st1
  EXPECT_EQ(st_exponent(0), kExponentOf1);
}

TEST_F(NativeFamilies, MmxTakesOverTheX87Registers) {
  run({0xd9, 0xe8});  // fld1: physical register 7
  run({0xd9, 0xeb});  // fldpi: physical register 6
  const uint64_t pi = st_significand(0);
  ebx() = kData;
  run({0x0f, 0x7f, 0x33});  // movq [ebx], mm6
  EXPECT_EQ(get<uint64_t>(kData), pi);
  EXPECT_EQ(x87_top(cpu.fx), 0u);
  EXPECT_EQ(cpu.fx.ftw, 0xff);
  run({0x0f, 0xfc, 0xc0});  // paddb mm0, mm0
  EXPECT_EQ(st_exponent(0), 0xffff);
  EXPECT_EQ(st_exponent(7), kExponentOf1);
  run({0x0f, 0x77});  // emms
  EXPECT_EQ(cpu.fx.ftw, 0);
}

TEST_F(NativeFamilies, FaultingMmxStoreClearsTopOnly) {
  run({0xd9, 0xe8});
  cpu.segment(SegReg::kDs).limit = 0xfff;
  interp->mode_changed();
  ebx() = 0x1000;
  EXPECT_EQ(execute({0x0f, 0x7f, 0x33}), kGp);
  EXPECT_EQ(cpu.fx.ftw, 0x80);
  EXPECT_EQ(x87_top(cpu.fx), 0u);
  EXPECT_EQ(st_exponent(7), kExponentOf1);
}

TEST_F(NativeFamilies, AlignmentOfSseOperands) {
  ebx() = kData + 4;
  EXPECT_EQ(execute({0x0f, 0x28, 0x03}), kGp);  // movaps xmm0, [ebx]
  run({0x0f, 0x10, 0x03});                      // movups xmm0, [ebx]
  run({0xf3, 0x0f, 0x58, 0x03});                // addss xmm0, [ebx]
}

TEST_F(NativeFamilies, UnmaskedSimdExceptionKeepsTheDestination) {
  set_xmm(0, 1.0f);
  set_xmm(1, 0.0f);
  cpu.fx.mxcsr = 0x1d80;                        // ZM clear
  EXPECT_EQ(execute({0x0f, 0x5e, 0xc1}), kXm);  // divps xmm0, xmm1
  EXPECT_EQ(xmm32(0, 0), std::bit_cast<uint32_t>(1.0f));
  EXPECT_EQ(cpu.fx.mxcsr, 0x1d84u);
  cpu.cr4 &= ~cr4::kOsxmmexcpt;
  interp->mode_changed();
  EXPECT_EQ(execute({0x0f, 0x5e, 0xc1}), kUd);
  // The host's own arithmetic is as before.
  volatile double zero = 0;
  EXPECT_TRUE(std::isinf(1 / zero));
}

TEST_F(NativeFamilies, RoundingModeIsTheGuests) {
  set_xmm(0, 1.5f);
  cpu.fx.mxcsr = 0x5f80;          // towards +infinity
  run({0xf3, 0x0f, 0x2d, 0xc8});  // cvtss2si ecx, xmm0
  EXPECT_EQ(ecx(), 2u);
  cpu.fx.mxcsr = 0x3f80;  // towards -infinity
  run({0xf3, 0x0f, 0x2d, 0xc8});
  EXPECT_EQ(ecx(), 1u);
  EXPECT_EQ(cpu.fx.mxcsr, 0x3fa0u);
}

TEST_F(NativeFamilies, GeneralRegistersInAndOut) {
  edi() = 0x80000001;
  run({0x66, 0x0f, 0x6e, 0xdf});  // movd xmm3, edi
  EXPECT_EQ(xmm32(3, 0), 0x80000001u);
  EXPECT_EQ(xmm32(3, 1), 0u);
  run({0x66, 0x0f, 0x7e, 0xdc});  // movd esp, xmm3
  EXPECT_EQ(esp(), 0x80000001u);
  set_xmm(5, -1.0f);
  run({0x0f, 0x50, 0xc5});  // movmskps eax, xmm5
  EXPECT_EQ(eax(), 15u);
}

TEST_F(NativeFamilies, ScalarCompareSetsFlags) {
  cpu.rflags |= rflags::kOf | rflags::kSf | rflags::kAf;
  set_xmm(0, 1.0f);
  set_xmm(1, 2.0f);
  run({0x0f, 0x2f, 0xc1});  // comiss xmm0, xmm1
  EXPECT_EQ(cpu.rflags & rflags::kArithmetic, rflags::kCf);
}

TEST_F(NativeFamilies, MaskedStoreWritesSelectedBytesOnly) {
  for (unsigned i = 0; i < 16; ++i) {
    cpu.fx.xmm[0][i] = static_cast<uint8_t>(i + 1);
    cpu.fx.xmm[1][i] = i % 2 ? 0x80 : 0x7f;
  }
  edi() = kData + 3;
  run({0x66, 0x0f, 0xf7, 0xc1});  // maskmovdqu xmm0, xmm1
  EXPECT_EQ(get<uint8_t>(kData + 3), 0);
  EXPECT_EQ(get<uint8_t>(kData + 4), 2);
}

TEST_F(NativeFamilies, FxsaveImageRoundTrip) {
  run({0xd9, 0xe8});
  set_xmm(7, 3.0f);
  ebx() = kData;
  put<uint8_t>(kData + 288, 0xee);  // XMM8 is not this mode's
  run({0x0f, 0xae, 0x03});          // fxsave [ebx]
  EXPECT_EQ(get<uint8_t>(kData + 288), 0xee);
  EXPECT_EQ(get<uint8_t>(kData + 4), 0x80);
  run({0xdb, 0xe3});
  set_xmm(7, 0.0f);
  run({0x0f, 0xae, 0x0b});  // fxrstor [ebx]
  EXPECT_EQ(xmm32(7, 0), std::bit_cast<uint32_t>(3.0f));
  EXPECT_EQ(st_exponent(0), kExponentOf1);
  put<uint32_t>(kData + 24, 0x10000);  // reserved MXCSR bit
  EXPECT_EQ(execute({0x0f, 0xae, 0x0b}), kGp);
  ebx() = kData + 8;
  EXPECT_EQ(execute({0x0f, 0xae, 0x03}), kGp);
}

TEST_F(NativeFamilies, LoadingReservedMxcsrBitsFaults) {
  ebx() = kData;
  put<uint32_t>(kData, 0x1f80 | 1u << 16);
  EXPECT_EQ(execute({0x0f, 0xae, 0x13}), kGp);  // ldmxcsr [ebx]
  put<uint32_t>(kData, 0x3f80);
  run({0x0f, 0xae, 0x13});
  EXPECT_EQ(cpu.fx.mxcsr, 0x3f80u);
}

TEST_F(NativeFamilies, TaskSwitchedAndEmulatedUnits) {
  cpu.cr0 |= cr0::kTs;
  interp->mode_changed();
  EXPECT_EQ(execute({0xd9, 0xe8}), kNm);
  EXPECT_EQ(execute({0x0f, 0x58, 0xc0}), kNm);
  run({0x9b});  // fwait: MP is clear
  cpu.cr0 |= cr0::kMp;
  interp->mode_changed();
  EXPECT_EQ(execute({0x9b}), kNm);
  cpu.cr0 = (cpu.cr0 & ~cr0::kTs) | cr0::kEm;
  interp->mode_changed();
  EXPECT_EQ(execute({0x0f, 0x58, 0xc0}), kUd);
  EXPECT_EQ(execute({0x0f, 0xfc, 0xc0}), kUd);
  EXPECT_EQ(execute({0x0f, 0xae, 0x03}), kUd);
}

}  // namespace
}  // namespace vireo::interp
