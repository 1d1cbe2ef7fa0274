#include <array>

#include "tests/unit/interp/bare_cpu.h"

namespace vireo::interp {
namespace {

using IntegerFamilies = BareCpu;

TEST_F(IntegerFamilies, IncKeepsCarry) {
  cpu.rflags |= rflags::kCf;
  eax() = 0x7fffffff;
  run({0x40});  // inc eax
  EXPECT_EQ(eax(), 0x80000000u);
  EXPECT_TRUE(flag(rflags::kCf));
  EXPECT_TRUE(flag(rflags::kOf));
}

TEST_F(IntegerFamilies, ByteRegistersAreHighHalvesOfTheFirstFour) {
  eax() = 0x11223344;
  ebx() = 0x55667788;
  run({0x88, 0xfc});  // mov ah, bh
  EXPECT_EQ(eax(), 0x11227744u);
}

TEST_F(IntegerFamilies, WordWritesKeepTheUpperHalf) {
  eax() = 0x11223344;
  run({0x66, 0xb8, 0xcd, 0xab});  // mov ax, 0xabcd
  EXPECT_EQ(eax(), 0x1122abcdu);
}

TEST_F(IntegerFamilies, XaddWithTheSameRegisterTwiceGivesTheSum) {
  eax() = 5;
  run({0x0f, 0xc1, 0xc0});  // xadd eax, eax
  EXPECT_EQ(eax(), 10u);
}

TEST_F(IntegerFamilies, FailedCmpxchgLoadsAccumulatorAndSetsFlagsAsCmp) {
  eax() = 1;
  ecx() = 7;
  ebx() = kData;
  put<uint32_t>(kData, 3);
  run({0xf0, 0x0f, 0xb1, 0x0b});  // lock cmpxchg [ebx], ecx
  EXPECT_EQ(eax(), 3u);
  EXPECT_EQ(get<uint32_t>(kData), 3u);
  EXPECT_FALSE(flag(rflags::kZf));
  EXPECT_TRUE(flag(rflags::kCf));  // 1 - 3 borrows
}

TEST_F(IntegerFamilies, Cmpxchg8bExchangesOnEqual) {
  put<uint64_t>(kData, 0x1122334455667788);
  eax() = 0x55667788;
  edx() = 0x11223344;
  ebx() = 0xaaaaaaaa;
  ecx() = 0xbbbbbbbb;
  esi() = kData;
  run({0x0f, 0xc7, 0x0e});  // cmpxchg8b [esi]
  EXPECT_EQ(get<uint64_t>(kData), 0xbbbbbbbbaaaaaaaau);
  EXPECT_TRUE(flag(rflags::kZf));
}

TEST_F(IntegerFamilies, ShiftByCountMaskedToZeroKeepsFlags) {
  cpu.rflags |= rflags::kArithmetic;
  eax() = 1;
  ecx() = 0x20;
  run({0xd3, 0xe0});  // shl eax, cl
  EXPECT_EQ(eax(), 1u);
  EXPECT_EQ(cpu.rflags & rflags::kArithmetic, rflags::kArithmetic);
}

TEST_F(IntegerFamilies, RclByteRotatesThroughNineBits) {
  cpu.rflags |= rflags::kCf;
  eax() = 0x80;
  ecx() = 9;
  run({0xd2, 0xd0});  // rcl al, cl
  EXPECT_EQ(eax(), 0x80u);
  EXPECT_TRUE(flag(rflags::kCf));
}

TEST_F(IntegerFamilies, DivideErrors) {
  edx() = 1;
  eax() = 0;
  ecx() = 1;
  EXPECT_EQ(execute({0xf7, 0xf1}), kDe);  // div ecx: quotient 2^32
  ecx() = 0;
  edx() = 0;
  EXPECT_EQ(execute({0xf7, 0xf9}), kDe);  // idiv ecx: by zero
  eax() = 0x80000000;
  edx() = 0xffffffff;
  ecx() = 0xffffffff;
  EXPECT_EQ(execute({0xf7, 0xf9}), kDe);  // most negative by -1
  EXPECT_EQ(eax(), 0x80000000u);
  EXPECT_EQ(cpu.rip, kCode);
}

TEST_F(IntegerFamilies, MostNegativeQuotientFits) {
  eax() = 0x80000000;
  edx() = 0xffffffff;
  ecx() = 1;
  run({0xf7, 0xf9});  // idiv ecx
  EXPECT_EQ(eax(), 0x80000000u);
  EXPECT_EQ(edx(), 0u);
}

TEST_F(IntegerFamilies, ByteDivisionLeavesRemainderInAh) {
  eax() = 1003;
  ecx() = 10;
  run({0xf6, 0xf1});  // div cl
  EXPECT_EQ(eax(), 100u | 3u << 8);
}

TEST_F(IntegerFamilies, BitStringReachesBelowTheOperand) {
  ebx() = kData;
  eax() = static_cast<uint32_t>(-1);
  put<uint32_t>(kData - 4, 0);
  run({0x0f, 0xab, 0x03});  // bts [ebx], eax
  EXPECT_EQ(get<uint32_t>(kData - 4), 0x80000000u);
  EXPECT_FALSE(flag(rflags::kCf));
}

TEST_F(IntegerFamilies, BsfOfZeroKeepsTheDestination) {
  eax() = 0x1234;
  ecx() = 0;
  run({0x0f, 0xbc, 0xc1});  // bsf eax, ecx
  EXPECT_EQ(eax(), 0x1234u);
  EXPECT_TRUE(flag(rflags::kZf));
}

TEST_F(IntegerFamilies, DecimalAdjust) {
  eax() = 0x9b;
  run({0x27});  // daa
  EXPECT_EQ(eax(), 0x01u);
  EXPECT_TRUE(flag(rflags::kCf));
  EXPECT_TRUE(flag(rflags::kAf));
  EXPECT_EQ(execute({0xd4, 0x00}), kDe);  // aam 0
}

TEST_F(IntegerFamilies, PopAddressesMemoryWithTheStackPointerMoved) {
  put<uint32_t>(kStack, 0xcafe);
  run({0x8f, 0x04, 0x24});  // pop [esp]
  EXPECT_EQ(esp(), kStack + 4);
  EXPECT_EQ(get<uint32_t>(kStack + 4), 0xcafeu);
}

TEST_F(IntegerFamilies, FaultingPopKeepsTheStackPointer) {
  cpu.segment(SegReg::kDs).limit = 0xfff;
  interp->mode_changed();
  ebx() = 0x1000;
  EXPECT_EQ(execute({0x8f, 0x03}), kGp);  // pop [ebx]
  EXPECT_EQ(esp(), kStack);
}

TEST_F(IntegerFamilies, PushEspPushesTheOldValue) {
  run({0x54});
  EXPECT_EQ(get<uint32_t>(kStack - 4), kStack);
}

TEST_F(IntegerFamilies, SixteenBitStackWrapsInsideTheSegment) {
  set_code_size(16);
  cpu.reg(Gpr::kRsp) = 0x12340000;
  eax() = 0xabcd;
  run({0x50});  // push ax
  EXPECT_EQ(esp(), 0x1234fffeu);
  EXPECT_EQ(get<uint16_t>(0xfffe), 0xabcd);
}

TEST_F(IntegerFamilies, PushaStoresTheStackPointerFromBefore) {
  for (unsigned i = 0; i < 8; ++i) {
    if (i != 4) cpu.gpr[i] = 0x100 + i;
  }
  run({0x60});
  EXPECT_EQ(esp(), kStack - 32);
  EXPECT_EQ(get<uint32_t>(kStack - 20), kStack);
  EXPECT_EQ(get<uint32_t>(kStack - 4), 0x100u);
  run({0x61});
  EXPECT_EQ(esp(), kStack);
}

TEST_F(IntegerFamilies, EnterWithLevelsCopiesTheDisplay) {
  ebp() = kStack + 0x100;
  put<uint32_t>(kStack + 0x100 - 4, 0x11);
  put<uint32_t>(kStack + 0x100 - 8, 0x22);
  run({0xc8, 0x10, 0x00, 0x03});  // enter 16, 3
  EXPECT_EQ(ebp(), kStack - 4);
  EXPECT_EQ(esp(), kStack - 4 - 12 - 16);
  EXPECT_EQ(get<uint32_t>(kStack - 4), kStack + 0x100);
  EXPECT_EQ(get<uint32_t>(kStack - 8), 0x11u);
  EXPECT_EQ(get<uint32_t>(kStack - 12), 0x22u);
  EXPECT_EQ(get<uint32_t>(kStack - 16), kStack - 4);
}

TEST_F(IntegerFamilies, CallBeyondTheLimitLeavesTheStackPointer) {
  cpu.segment(SegReg::kCs).limit = 0x1fff;
  interp->mode_changed();
  EXPECT_EQ(execute({0xe8, 0x00, 0x10, 0x00, 0x00}), kGp);
  EXPECT_EQ(esp(), kStack);
}

TEST_F(IntegerFamilies, LoopUsesTheAddressSizeForItsCount) {
  ecx() = 0x10000;
  run({0x67, 0xe2, 0x10});  // loop (cx)
  EXPECT_EQ(ecx(), 0x1ffffu);
  EXPECT_EQ(cpu.rip, kCode + 3 + 0x10);
}

TEST_F(IntegerFamilies, Bound) {
  ebx() = kData;
  put<int32_t>(kData, -5);
  put<int32_t>(kData + 4, 5);
  eax() = static_cast<uint32_t>(-5);
  run({0x62, 0x03});  // bound eax, [ebx]
  eax() = 6;
  EXPECT_EQ(execute({0x62, 0x03}), kBr);
}

TEST_F(IntegerFamilies, OverlappingMovsReplicates) {
  put<uint32_t>(kData, 0x44332211);
  esi() = kData;
  edi() = kData + 1;
  ecx() = 100;
  run({0xf3, 0xa4});  // rep movsb
  for (uint32_t i = 0; i <= 100; ++i) EXPECT_EQ(get<uint8_t>(kData + i), 0x11) << i;
  EXPECT_EQ(ecx(), 0u);
  EXPECT_EQ(edi(), kData + 101);
}

TEST_F(IntegerFamilies, BackwardMovsAcrossPages) {
  for (uint32_t i = 0; i < 0x1800; ++i) put<uint8_t>(0x10000 + i, static_cast<uint8_t>(i * 7));
  cpu.rflags |= rflags::kDf;
  esi() = 0x10000 + 0x17ff;
  edi() = 0x20000 + 0x17ff;
  ecx() = 0x1800;
  run({0xf3, 0xa4});
  for (uint32_t i = 0; i < 0x1800; ++i)
    ASSERT_EQ(get<uint8_t>(0x20000 + i), static_cast<uint8_t>(i * 7)) << i;
  EXPECT_EQ(esi(), 0x10000u - 1);
}

TEST_F(IntegerFamilies, StosFaultsAtTheElementBeyondTheLimitWithRegistersAtIt) {
  cpu.segment(SegReg::kEs).limit = 0x2fff;
  interp->mode_changed();
  edi() = 0x2ff0;
  ecx() = 8;
  eax() = 0x01020304;
  EXPECT_EQ(execute({0xf3, 0xab}), kGp);  // rep stosd
  EXPECT_EQ(edi(), 0x3000u);
  EXPECT_EQ(ecx(), 4u);
  EXPECT_EQ(get<uint32_t>(0x2ffc), 0x01020304u);
  EXPECT_EQ(cpu.rip, kCode);
}

TEST_F(IntegerFamilies, ScasStopsBehindTheMatch) {
  for (uint32_t i = 0; i < 64; ++i) put<uint8_t>(kData + i, static_cast<uint8_t>(i));
  edi() = kData;
  ecx() = 0xffffffff;
  eax() = 40;
  run({0xf2, 0xae});  // repne scasb
  EXPECT_EQ(edi(), kData + 41);
  EXPECT_EQ(ecx(), 0xffffffff - 41);
  EXPECT_TRUE(flag(rflags::kZf));
}

TEST_F(IntegerFamilies, CmpsThatFaultsKeepsFlags) {
  cpu.segment(SegReg::kEs).limit = 0x2fff;
  interp->mode_changed();
  esi() = 0x1ff0;
  edi() = 0x2ff0;
  ecx() = 0x20;
  cpu.rflags |= rflags::kArithmetic;
  EXPECT_EQ(execute({0xf3, 0xa6}), kGp);  // repe cmpsb over 16 equal bytes
  EXPECT_EQ(ecx(), 0x10u);
  EXPECT_EQ(cpu.rflags & rflags::kArithmetic, rflags::kArithmetic);
}

TEST_F(IntegerFamilies, RepWithZeroCountTouchesNothing) {
  cpu.segment(SegReg::kEs).access = 0;
  interp->mode_changed();
  ecx() = 0;
  run({0xf3, 0xaa});
}

TEST_F(IntegerFamilies, SixteenBitStringsWrap) {
  set_code_size(16);
  esi() = 0xfffe;
  edi() = 0x3000;
  ecx() = 4;
  put<uint16_t>(0xfffe, 0xbbaa);
  put<uint16_t>(0x0000, 0xddcc);
  run({0xf3, 0xa4});
  EXPECT_EQ(get<uint32_t>(0x3000), 0xddccbbaau);
  EXPECT_EQ(esi(), 2u);
}

TEST_F(IntegerFamilies, AttentionPausesARepBetweenElements) {
  attention.request(Attention::kInterrupt);
  edi() = kData;
  ecx() = 3;
  memory->write(Gpa{kCode}, std::array<uint8_t, 2>{0xf3, 0xaa});
  cpu.rip = kCode;
  EXPECT_EQ(interp->step_one(), Interp::StepResult::kIncomplete);
  EXPECT_EQ(ecx(), 2u);
  EXPECT_EQ(cpu.rip, kCode);
}

}  // namespace
}  // namespace vireo::interp
