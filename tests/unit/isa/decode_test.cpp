// The decoder on instructions worked out by hand. Encodings of every row are compared with Capstone by
// tests/isa.
#include "core/isa/decode.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/isa/disassemble.h"
#include "core/isa/insn_row.h"

namespace vireo::isa {
namespace {

using Bytes = std::vector<uint8_t>;
constexpr CodeSize k16 = CodeSize::k16, k32 = CodeSize::k32, k64 = CodeSize::k64;

Insn decode_ok(const Bytes& bytes, CodeSize code_size) {
  Insn insn;
  EXPECT_EQ(decode(bytes, code_size, insn), DecodeStatus::kOk);
  EXPECT_EQ(insn.length, bytes.size());
  return insn;
}

DecodeStatus status(const Bytes& bytes, CodeSize code_size) {
  Insn insn;
  return decode(bytes, code_size, insn);
}

TEST(Decode, OperandSizeFollowsCodeSizeAndPrefixes) {
  EXPECT_EQ(decode_ok({0x01, 0xc8}, k16).operand_size, 2);
  EXPECT_EQ(decode_ok({0x66, 0x01, 0xc8}, k16).operand_size, 4);
  EXPECT_EQ(decode_ok({0x66, 0x01, 0xc8}, k32).operand_size, 2);
  EXPECT_EQ(decode_ok({0x01, 0xc8}, k64).operand_size, 4);
  EXPECT_EQ(decode_ok({0x66, 0x48, 0x01, 0xc8}, k64).operand_size, 8);
  EXPECT_EQ(decode_ok({0x50}, k64).operand_size, 8);
  EXPECT_EQ(decode_ok({0x66, 0x50}, k64).operand_size, 2);
  EXPECT_EQ(decode_ok({0x66, 0xff, 0xe0}, k64).operand_size, 8);        // near branches ignore 66
  EXPECT_EQ(decode_ok({0x66, 0x0f, 0x6e, 0xc0}, k32).operand_size, 4);  // 66 is mandatory here
}

TEST(Decode, SixteenBitAddresses) {
  const Insn insn = decode_ok({0x8b, 0x42, 0xfe}, k16);  // mov ax, [bp+si-2]
  EXPECT_EQ(insn.base, 5);
  EXPECT_EQ(insn.index, 6);
  EXPECT_EQ(insn.disp, -2);
  EXPECT_EQ(insn.segment, SegReg::kSs);
  const Insn absolute = decode_ok({0x8b, 0x06, 0x34, 0x82}, k16);
  EXPECT_EQ(absolute.base, kNoRegister);
  EXPECT_EQ(absolute.index, kNoRegister);
  EXPECT_EQ(absolute.disp & 0xffff, 0x8234);
  EXPECT_EQ(absolute.segment, SegReg::kDs);
}

TEST(Decode, ThirtyTwoBitAddresses) {
  const Insn insn =
      decode_ok({0x65, 0x8b, 0x84, 0x8d, 0x78, 0x56, 0x34, 0x12}, k32);  // mov eax, gs:[ebp+ecx*4+...]
  EXPECT_EQ(insn.base, 5);
  EXPECT_EQ(insn.index, 1);
  EXPECT_EQ(insn.scale, 2);
  EXPECT_EQ(insn.disp, 0x12345678);
  EXPECT_EQ(insn.disp_size, 4);
  EXPECT_EQ(insn.segment, SegReg::kGs);
  EXPECT_TRUE(insn.prefixes & prefix::kSegment);
  EXPECT_EQ(decode_ok({0x8b, 0x04, 0x24}, k32).segment, SegReg::kSs);
  EXPECT_EQ(decode_ok({0x8b, 0x04, 0x24}, k32).index, kNoRegister);
  const Insn no_base = decode_ok({0x8b, 0x04, 0x6d, 0, 0, 0, 0}, k32);  // [ebp*2+0]
  EXPECT_EQ(no_base.base, kNoRegister);
  EXPECT_EQ(no_base.index, 5);
  EXPECT_EQ(no_base.segment, SegReg::kDs);
  EXPECT_EQ(decode_ok({0x67, 0x8b, 0x07}, k32).address_size, 2);
}

TEST(Decode, SixtyFourBitAddresses) {
  const Insn rip = decode_ok({0x8b, 0x05, 0xfc, 0xff, 0xff, 0xff}, k64);
  EXPECT_EQ(rip.base, kRipRegister);
  EXPECT_EQ(rip.disp, -4);
  EXPECT_EQ(decode_ok({0x8b, 0x05, 0, 0, 0, 0}, k32).base, kNoRegister);
  const Insn extended = decode_ok({0x4f, 0x8b, 0x3c, 0xe5, 1, 0, 0, 0}, k64);  // mov r15, [r12*8+1]
  EXPECT_EQ(extended.reg(), 15);
  EXPECT_EQ(extended.base, kNoRegister);
  EXPECT_EQ(extended.index, 12);
  EXPECT_EQ(extended.scale, 3);
  EXPECT_EQ(decode_ok({0x41, 0x8b, 0x04, 0x24}, k64).base, 12);
  EXPECT_EQ(decode_ok({0x2e, 0x8b, 0x45, 0x00}, k64).segment, SegReg::kSs);  // CS: is ignored
  EXPECT_EQ(decode_ok({0x64, 0x2e, 0x8b, 0x00}, k64).segment, SegReg::kFs);
}

TEST(Decode, Immediates) {
  EXPECT_EQ(decode_ok({0x83, 0xc0, 0xff}, k32).imm, ~uint64_t{0});
  EXPECT_EQ(decode_ok({0x80, 0xc0, 0xff}, k32).imm, 0xffu);
  EXPECT_EQ(decode_ok({0x48, 0x81, 0xc0, 0, 0, 0, 0x80}, k64).imm, 0xffffffff80000000u);
  EXPECT_EQ(decode_ok({0x48, 0xb8, 8, 7, 6, 5, 4, 3, 2, 1}, k64).imm, 0x0102030405060708u);
  EXPECT_EQ(decode_ok({0xeb, 0xfe}, k32).imm, ~uint64_t{0} - 1);
  EXPECT_EQ(decode_ok({0xe9, 0xfd, 0xff}, k16).imm, ~uint64_t{0} - 2);
  const Insn far = decode_ok({0x9a, 0x78, 0x56, 0x34, 0x12, 0xcd, 0xab}, k32);
  EXPECT_EQ(far.imm, 0xabcd12345678u);
  EXPECT_EQ(far.imm_size, 6);
  EXPECT_EQ(decode_ok({0x9a, 0x78, 0x56, 0xcd, 0xab}, k16).imm, 0xabcd00005678u);
  const Insn enter = decode_ok({0xc8, 0x34, 0x12, 0x05}, k32);
  EXPECT_EQ(enter.imm, 0x1234u);
  EXPECT_EQ(enter.imm2, 5);
  const Insn moffs = decode_ok({0xa1, 0, 0, 0, 0x80}, k32);
  EXPECT_EQ(moffs.disp, 0x80000000);
  EXPECT_EQ(moffs.disp_size, 4);
  EXPECT_EQ(moffs.imm_size, 0);
}

TEST(Decode, RexCountsOnlyRightBeforeTheOpcode) {
  EXPECT_EQ(decode_ok({0x48, 0x66, 0x01, 0xc8}, k64).operand_size, 2);
  EXPECT_FALSE(decode_ok({0x48, 0x66, 0x01, 0xc8}, k64).prefixes & prefix::kRex);
  EXPECT_EQ(decode_ok({0x4c, 0x0f, 0x6f, 0xc8}, k64).reg(), 1);  // no MMX register has a fourth bit
}

TEST(Decode, LastRepeatPrefixWins) {
  EXPECT_EQ(decode_ok({0xf2, 0xf3, 0x0f, 0x58, 0xc1}, k32).mnemonic, Mnemonic::ADDSS);
  EXPECT_EQ(decode_ok({0xf3, 0x66, 0xf2, 0x0f, 0x58, 0xc1}, k32).mnemonic, Mnemonic::ADDSD);
  const Insn movs = decode_ok({0xf2, 0xa4}, k32);
  EXPECT_TRUE(movs.rep());
  EXPECT_TRUE(row(movs).has(attribute::kRep));
}

TEST(Decode, Lock) {
  EXPECT_TRUE(decode_ok({0xf0, 0x01, 0x08}, k32).lock());
  EXPECT_EQ(status({0xf0, 0x01, 0xc8}, k32), DecodeStatus::kUndefined);        // register destination
  EXPECT_EQ(status({0xf0, 0x03, 0x08}, k32), DecodeStatus::kUndefined);        // memory is the source
  EXPECT_EQ(status({0xf0, 0x89, 0x08}, k32), DecodeStatus::kUndefined);        // MOV
  EXPECT_EQ(status({0xf0, 0x0f, 0x22, 0xc0}, k32), DecodeStatus::kUndefined);  // no CR8 outside 64-bit mode
  EXPECT_EQ(decode_ok({0xf0, 0x0f, 0xc7, 0x08}, k32).mnemonic, Mnemonic::CMPXCHG8B);
}

TEST(Decode, RegistersThatDoNotExist) {
  EXPECT_EQ(status({0x8e, 0xc8}, k32), DecodeStatus::kUndefined);  // mov cs, eax
  EXPECT_EQ(decode_ok({0x8c, 0xc8}, k32).mnemonic, Mnemonic::MOV_SREG);
  EXPECT_EQ(status({0x8c, 0xf0}, k32), DecodeStatus::kUndefined);
  EXPECT_EQ(status({0x0f, 0x20, 0xc8}, k32), DecodeStatus::kUndefined);  // CR1
  EXPECT_EQ(decode_ok({0x44, 0x0f, 0x20, 0xc0}, k64).reg(), 8);          // CR8
  EXPECT_EQ(decode_ok({0x0f, 0x20, 0x04}, k32).modrm, 0xc4);  // mod is ignored: there is no SIB byte
}

TEST(Decode, BytesThatAreMissing) {
  const std::pair<Bytes, CodeSize> kInstructions[] = {{{0x66, 0x81, 0x84, 0x8d, 1, 2, 3, 4, 5, 6}, k32},
                                                      {{0x0f, 0x38, 0x00, 0x44, 0x24, 0x08}, k32},
                                                      {{0x9a, 1, 2, 3, 4, 5, 6}, k32},
                                                      {{0xc8, 1, 2, 3}, k16},
                                                      {{0xc4, 0xe3, 0x79, 0x0f, 0xc1, 0x05}, k64},
                                                      {{0x0f, 0x0f, 0x44, 0x24, 0x08, 0xbf}, k32},
                                                      {{0x48, 0xa1, 1, 2, 3, 4, 5, 6, 7, 8}, k64},
                                                      {{0xf3, 0x0f, 0xb8, 0x05, 1, 2, 3, 4}, k64}};
  for (const auto& [bytes, code_size] : kInstructions) {
    decode_ok(bytes, code_size);
    for (size_t n = 0; n < bytes.size(); n++)
      EXPECT_EQ(status(Bytes(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n)), code_size),
                DecodeStatus::kNeedMoreBytes)
          << disassemble(bytes, code_size, 0) << ", " << n << " bytes";
  }
}

TEST(Decode, FifteenBytesAtMost) {
  Bytes bytes(14, 0x66);
  bytes.push_back(0x90);
  decode_ok(bytes, k32);
  bytes.insert(bytes.begin(), 0x66);
  EXPECT_EQ(status(bytes, k32), DecodeStatus::kTooLong);
  bytes.resize(40, 0x90);
  EXPECT_EQ(status(bytes, k32), DecodeStatus::kTooLong);
  EXPECT_EQ(status(Bytes(14, 0x66), k32), DecodeStatus::kNeedMoreBytes);
}

// As the host CPU does it: the length is found first, operand and all.
TEST(Decode, TooLongComesBeforeUndefined) {
  const Bytes kUndefined[] = {{0x8e, 0x0d, 1, 2, 3, 4},     // mov cs, [...]
                              {0xfe, 0x15, 1, 2, 3, 4},     // group 4 /2
                              {0x0f, 0xc7, 0x44, 0x24, 1},  // group 9 /0
                              {0xf0, 0x89, 0x05, 1, 2, 3, 4},
                              {0x0f, 0x04},
                              // Groups whose members all have an immediate.
                              {0xc6, 0x0d, 1, 2, 3, 4, 5},
                              {0xc7, 0xc9, 1, 2, 3, 4},
                              {0x66, 0xc7, 0xc9, 1, 2},
                              {0x0f, 0xba, 0xc0, 1},
                              // Opcodes and maps without instructions.
                              {0x0f, 0x7a, 0x05, 1, 2, 3, 4},
                              {0x0f, 0x39, 0x01, 0xc0},
                              {0x0f, 0x3e, 0x01, 0xc0, 1},
                              {0x0f, 0x38, 0x0c, 0x05, 1, 2, 3, 4},
                              {0x0f, 0x3a, 0x00, 0x05, 1, 2, 3, 4, 5},
                              // VEX: as without; legacy prefixes, or no such instruction.
                              {0x66, 0xc5, 0xf8, 0x58, 0x05, 1, 2, 3, 4},
                              {0xc5, 0xf8, 0x00, 0x05, 1, 2, 3, 4},
                              {0xc5, 0xf8, 0x80, 1, 2, 3, 4},
                              {0xc4, 0xe3, 0x78, 0x80, 0x05, 1, 2, 3, 4, 5}};
  for (Bytes bytes : kUndefined) {
    EXPECT_EQ(status(Bytes(bytes.begin(), bytes.end() - 1), k32), DecodeStatus::kNeedMoreBytes);
    while (bytes.size() < 15) bytes.insert(bytes.begin(), 0x3e);
    EXPECT_EQ(status(bytes, k32), DecodeStatus::kUndefined);
    bytes.insert(bytes.begin(), 0x3e);
    EXPECT_EQ(status(bytes, k32), DecodeStatus::kTooLong);
  }
}

TEST(Decode, WhatIsNotInLongModeIsAsLongThere) {
  for (const Bytes& bytes :
       {Bytes{0x82, 0xc0, 1}, Bytes{0xd4, 1}, Bytes{0x9a, 1, 2, 3, 4, 5, 6}, Bytes{0x06}}) {
    EXPECT_EQ(status(Bytes(bytes.begin(), bytes.end() - 1), k64), DecodeStatus::kNeedMoreBytes);
    EXPECT_EQ(status(bytes, k64), DecodeStatus::kUndefined);
  }
}

TEST(Decode, WhatFollowsTheInstructionDoesNotMatter) {
  Bytes bytes = {0x8d, 0x84, 0x8d, 0x78, 0x56, 0x34, 0x12};
  const Insn alone = decode_ok(bytes, k32);
  bytes.resize(64, 0xff);
  Insn followed;
  ASSERT_EQ(decode(bytes, k32, followed), DecodeStatus::kOk);
  EXPECT_EQ(followed.length, alone.length);
  EXPECT_EQ(followed.row, alone.row);
  EXPECT_EQ(followed.disp, alone.disp);
}

TEST(Decode, OneOpcodeSeveralInstructions) {
  EXPECT_EQ(decode_ok({0x90}, k64).mnemonic, Mnemonic::NOP);
  EXPECT_EQ(decode_ok({0x49, 0x90}, k64).mnemonic, Mnemonic::XCHG);
  EXPECT_EQ(decode_ok({0xf3, 0x49, 0x90}, k64).mnemonic, Mnemonic::PAUSE);
  EXPECT_EQ(decode_ok({0x63, 0xc1}, k32).mnemonic, Mnemonic::ARPL);
  EXPECT_EQ(decode_ok({0x63, 0xc1}, k64).mnemonic, Mnemonic::MOVSXD);
  EXPECT_EQ(decode_ok({0xc5, 0x07}, k32).mnemonic, Mnemonic::LDS);
  EXPECT_EQ(decode_ok({0xc5, 0xf4, 0x58, 0xc2}, k32).mnemonic, Mnemonic::VADDPS);
  EXPECT_EQ(decode_ok({0x0f, 0x12, 0x00}, k32).mnemonic, Mnemonic::MOVLPS);
  EXPECT_EQ(decode_ok({0x0f, 0x12, 0xc0}, k32).mnemonic, Mnemonic::MOVHLPS);
  EXPECT_EQ(status({0x06}, k64), DecodeStatus::kUndefined);
  EXPECT_EQ(status({0x62, 0xc0}, k32), DecodeStatus::kUndefined);  // BOUND of a register; no EVEX
}

TEST(Decode, Vex) {
  const Insn insn = decode_ok({0xc4, 0x41, 0x2c, 0x58, 0xc1}, k64);  // vaddps ymm8, ymm10, ymm9
  EXPECT_EQ(insn.vex_vvvv, 10);
  EXPECT_EQ(insn.vex_l, 1);
  EXPECT_EQ(insn.reg(), 8);
  EXPECT_EQ(insn.rm(), 9);
  EXPECT_EQ(status({0x66, 0xc5, 0xf4, 0x58, 0xc2}, k32), DecodeStatus::kUndefined);
  EXPECT_EQ(status({0xc5, 0xf0, 0x28, 0xc2}, k32), DecodeStatus::kUndefined);  // VMOVAPS has no third operand
}

TEST(Decode, DowngradeDropsThePrefixOfANewerInstruction) {
  Insn insn = decode_ok({0xf3, 0x0f, 0xbc, 0xc1}, k32);
  EXPECT_EQ(insn.mnemonic, Mnemonic::TZCNT);
  EXPECT_TRUE(downgrade(insn));
  EXPECT_EQ(insn.mnemonic, Mnemonic::BSF);
  EXPECT_EQ(row(insn).mnemonic, Mnemonic::BSF);
  insn = decode_ok({0xf3, 0x0f, 0xbd, 0xc1}, k32);
  EXPECT_TRUE(downgrade(insn));
  EXPECT_EQ(insn.mnemonic, Mnemonic::BSR);
  insn = decode_ok({0xf3, 0x0f, 0xb8, 0xc1}, k32);
  EXPECT_FALSE(downgrade(insn));
  EXPECT_EQ(insn.mnemonic, Mnemonic::POPCNT);
}

TEST(InsnRow, SizesOfOperands) {
  const auto first_operand_bytes = [](const Bytes& bytes, CodeSize code_size) {
    const Insn insn = decode_ok(bytes, code_size);
    return operand_bytes(row(insn).operands[row(insn).operands[0].kind == OperandKind::kM ? 0 : 1], insn);
  };
  EXPECT_EQ(first_operand_bytes({0xff, 0x18}, k32), 6u);         // call far
  EXPECT_EQ(first_operand_bytes({0x0f, 0x01, 0x10}, k64), 10u);  // lgdt
  EXPECT_EQ(first_operand_bytes({0xdd, 0x20}, k16), 94u);        // frstor
  EXPECT_EQ(first_operand_bytes({0x66, 0xd9, 0x20}, k16), 28u);  // fldenv
  EXPECT_EQ(first_operand_bytes({0xdb, 0x28}, k32), 10u);        // fld tbyte
  EXPECT_EQ(first_operand_bytes({0x62, 0x08}, k32), 8u);         // bound
  EXPECT_EQ(first_operand_bytes({0xc5, 0xfc, 0x28, 0x00}, k32), 32u);
  EXPECT_EQ(first_operand_bytes({0x8d, 0x00}, k32), 0u);  // lea
}

TEST(InsnRow, Flags) {
  const auto flags = [](const Bytes& bytes) { return row(decode_ok(bytes, k32)).flags; };
  EXPECT_EQ(flags({0x01, 0xc8}).modified, rflags::kArithmetic);
  EXPECT_EQ(flags({0x11, 0xc8}).tested, rflags::kCf);
  EXPECT_EQ(flags({0x40}).modified, rflags::kArithmetic & ~rflags::kCf);
  EXPECT_EQ(flags({0x31, 0xc8}).cleared, rflags::kOf | rflags::kCf);
  EXPECT_EQ(flags({0x31, 0xc8}).undefined, rflags::kAf);
  EXPECT_EQ(flags({0x89, 0xc8}).modified, 0u);
  EXPECT_EQ(condition_flags(0xf), rflags::kZf | rflags::kSf | rflags::kOf);
  EXPECT_EQ(condition_flags(0x2), rflags::kCf);
}

TEST(InsnRow, ClassOfInstructionsOnMmxAndVectorRegisters) {
  EXPECT_EQ(row(decode_ok({0x0f, 0xfe, 0xc1}, k32)).insn_class, InsnClass::Mmx);
  EXPECT_EQ(row(decode_ok({0x66, 0x0f, 0xfe, 0xc1}, k32)).insn_class, InsnClass::Sse);
  EXPECT_EQ(row(decode_ok({0x66, 0x0f, 0xfe, 0xc1}, k32)).feature, Feature::kSse2);
  EXPECT_EQ(row(decode_ok({0x0f, 0xfe, 0xc1}, k32)).feature, Feature::kMmx);
}

TEST(Disassemble, ForTraces) {
  EXPECT_EQ(disassemble(Bytes{0x8b, 0x41, 0x08}, k32, 0), "mov eax, dword ptr [ecx + 8]");
  EXPECT_EQ(disassemble(Bytes{0xeb, 0xfe}, k32, 0x1234), "jmp 0x1234");
  EXPECT_EQ(disassemble(Bytes{0x06}, k64, 0), "(bad)");
}

}  // namespace
}  // namespace vireo::isa
