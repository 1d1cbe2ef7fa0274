// Instructions of 32-bit code and what becomes of them, as Capstone sees both.
#include "tests/differential/long_mode_rewrite.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "core/isa/decode.h"
#include "core/isa/disassemble.h"
#include "tests/differential/encoding_generator.h"
#include "tests/isa/capstone_reference.h"
#include "tests/isa/prefixes.h"

namespace vireo::diff {
namespace {

using Bytes = std::vector<uint8_t>;

Rewritten rewrite(const Bytes& bytes) {
  isa::Insn insn;
  EXPECT_EQ(isa::decode(bytes, isa::CodeSize::k32, insn), isa::DecodeStatus::kOk);
  EXPECT_EQ(insn.length, bytes.size());
  return rewrite_for_long_mode(isa::row(insn), insn, bytes);
}

struct Row {
  Bytes before, after;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << isa::disassemble(row.before, isa::CodeSize::k32, 0);
}

class LongModeRewrite : public testing::TestWithParam<Row> {};

TEST_P(LongModeRewrite, ChangesNoMoreThanItMust) {
  const Rewritten rewritten = rewrite(GetParam().before);
  EXPECT_EQ(rewritten.left_out, LeftOut::kNot);
  EXPECT_EQ(rewritten.bytes, GetParam().after);
}

INSTANTIATE_TEST_SUITE_P(
    All, LongModeRewrite,
    testing::Values(Row{{0x01, 0xd8}, {0x01, 0xd8}},                    // add eax, ebx
                    Row{{0x67, 0x01, 0xc8}, {0x67, 0x01, 0xc8}},        // a prefix without effect
                    Row{{0x01, 0x18}, {0x67, 0x01, 0x18}},              // add [eax], ebx
                    Row{{0x66, 0x01, 0x18}, {0x67, 0x66, 0x01, 0x18}},  // add [eax], bx
                    Row{{0x8d, 0x05, 1, 2, 3, 4}, {0x67, 0x8d, 0x04, 0x25, 1, 2, 3, 4}},
                    Row{{0x64, 0x8b, 0x00}, {0x67, 0x3e, 0x8b, 0x00}},  // mov eax, fs:[eax]
                    Row{{0xa1, 1, 2, 3, 4}, {0x67, 0xa1, 1, 2, 3, 4}},  // mov eax, [4030201h]
                    Row{{0x80, 0x3d, 1, 2, 3, 4, 5}, {0x67, 0x80, 0x3c, 0x25, 1, 2, 3, 4, 5}},
                    Row{{0x66, 0x0f, 0x38, 0x00, 0x05, 1, 2, 3, 4},  // pshufb xmm0, [4030201h]
                        {0x67, 0x66, 0x0f, 0x38, 0x00, 0x04, 0x25, 1, 2, 3, 4}},
                    Row{{0x43}, {0xff, 0xc3}}, Row{{0x66, 0x4f}, {0x66, 0xff, 0xcf}},  // inc ebx, dec di
                    Row{{0x82, 0xc0, 5}, {0x80, 0xc0, 5}},                             // add al, 5
                    Row{{0xf3, 0xa5}, {0x67, 0xf3, 0xa5}},                             // rep movsd
                    Row{{0xe2, 0x10}, {0x67, 0xe2, 0x10}},                             // loop
                    Row{{0x66, 0x50}, {0x66, 0x50}},                                   // push ax
                    Row{{0xff, 0xe0}, {0xff, 0xe0}}));                                 // jmp eax

struct LeftOutRow {
  Bytes bytes;
  LeftOut why;
};

void PrintTo(const LeftOutRow& row, std::ostream* out) {
  *out << isa::disassemble(row.bytes, isa::CodeSize::k32, 0);
}

class LongModeLeavesOut : public testing::TestWithParam<LeftOutRow> {};

TEST_P(LongModeLeavesOut, WithThisReason) {
  EXPECT_EQ(rewrite(GetParam().bytes).left_out, GetParam().why);
}

INSTANTIATE_TEST_SUITE_P(All, LongModeLeavesOut,
                         testing::Values(LeftOutRow{{0x27}, LeftOut::kNoSuchInsn},        // daa
                                         LeftOutRow{{0x60}, LeftOut::kNoSuchInsn},        // pusha
                                         LeftOutRow{{0xc4, 0x00}, LeftOut::kNoSuchInsn},  // les
                                         LeftOutRow{{0x50}, LeftOut::kStackWidth},        // push eax
                                         LeftOutRow{{0xc3}, LeftOut::kStackWidth},        // ret
                                         LeftOutRow{{0x66, 0xc2, 8, 0}, LeftOut::kStackWidth},
                                         LeftOutRow{{0xff, 0x20}, LeftOut::kBranchWidth},     // jmp [eax]
                                         LeftOutRow{{0x66, 0x74, 0}, LeftOut::kBranchWidth},  // jz, 16 bits
                                         LeftOutRow{{0x8e, 0xd8}, LeftOut::kSegments},        // mov ds, ax
                                         LeftOutRow{{0xff, 0x28}, LeftOut::kFarTransfer},     // jmp far [eax]
                                         LeftOutRow{{0xcf}, LeftOut::kFarTransfer},           // iret
                                         LeftOutRow{{0x0f, 0x01, 0x00}, LeftOut::kTables},    // sgdt
                                         LeftOutRow{{0x0f, 0xae, 0x00}, LeftOut::kMoreRegisters},  // fxsave
                                         LeftOutRow{{0x67, 0x8b, 0x07}, LeftOut::k16BitAddress},   // [bx]
                                         LeftOutRow{{0x67, 0xe3, 0}, LeftOut::k16BitAddress},      // jcxz
                                         LeftOutRow{{0x2e, 0x89, 0x00}, LeftOut::kCodeSegmentStore},
                                         LeftOutRow{{0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26, 0x26,
                                                     0x81, 0x00, 1, 2, 3, 4},
                                                    LeftOut::kTooLong}));

bool is_relative_branch(const cs_insn& insn) {
  const uint8_t* groups = insn.detail->groups;
  return std::find(groups, groups + insn.detail->groups_count, X86_GRP_BRANCH_RELATIVE) !=
         groups + insn.detail->groups_count;
}

/// Capstone's operand, without what the rewriting is free to change.
std::string describe(const cs_insn& insn, const cs_x86_op& op, bool with_size) {
  const std::string size = with_size ? " of " + std::to_string(op.size) : "";
  const auto reg = [](unsigned r) {
    // With `with_size`, sizes tell them apart.
    static constexpr x86_reg kWide[] = {X86_REG_RAX, X86_REG_RCX, X86_REG_RDX, X86_REG_RBX,
                                        X86_REG_RSP, X86_REG_RBP, X86_REG_RSI, X86_REG_RDI};
    static constexpr x86_reg kNarrow[] = {X86_REG_EAX, X86_REG_ECX, X86_REG_EDX, X86_REG_EBX,
                                          X86_REG_ESP, X86_REG_EBP, X86_REG_ESI, X86_REG_EDI};
    const auto wide = std::find(std::begin(kWide), std::end(kWide), r);
    if (wide != std::end(kWide)) r = kNarrow[wide - std::begin(kWide)];
    return std::to_string(r == X86_REG_EIZ ? unsigned{X86_REG_INVALID} : r);
  };
  switch (op.type) {
    case X86_OP_REG:
      return "register " + reg(op.reg) + size;
    case X86_OP_IMM:
      return "immediate " +
             std::to_string(static_cast<uint32_t>(op.imm - (is_relative_branch(insn) ? insn.size : 0)));
    default:
      return "memory " + reg(op.mem.base) + " + " + reg(op.mem.index) + " * " + std::to_string(op.mem.scale) +
             " + " + std::to_string(static_cast<int32_t>(op.mem.disp)) + size;
  }
}

std::vector<std::string> describe(const cs_insn* insn, bool with_size) {
  if (!insn) return {};
  // A moffs has a name of its own in 64-bit code.
  const unsigned id = insn->id == X86_INS_MOVABS ? unsigned{X86_INS_MOV} : insn->id;
  std::vector<std::string> parts = {"id " + std::to_string(id)};
  for (unsigned i = 0; i < insn->detail->x86.op_count; i++)
    parts.push_back(describe(*insn, insn->detail->x86.operands[i], with_size));
  return parts;
}

/// With the prefixes that count, in an order that Capstone understands.
Bytes for_capstone(const Bytes& bytes, const isa::InsnRow& row, isa::CodeSize code_size) {
  isa::Prefixes prefixes(bytes, code_size);
  const bool branch = row.operands[0].kind == isa::OperandKind::kJ;
  const bool repeats = row.has(isa::attribute::kRep | isa::attribute::kRepWhile);
  if (!repeats && (row.encoding.prefixes & 1)) prefixes.repeat = 0;
  if (branch && row.mnemonic == isa::Mnemonic::JCC) prefixes.size67 = false;
  if (branch && row.mnemonic == isa::Mnemonic::JMP) prefixes.size67 = false;
  Bytes out = prefixes.canonical();
  out.insert(out.end(), bytes.begin() + static_cast<std::ptrdiff_t>(prefixes.count), bytes.end());
  return out;
}

/// LEA has none; JMP's register is 64 bits wide, whose upper half is 0; LGDT and LIDT fault before they read
/// anything; FXRSTOR reads more XMM registers in 64-bit code.
bool accesses_of_one_size(const isa::InsnRow& row) {
  return std::none_of(row.operands.begin(), row.operands.begin() + row.operand_count,
                      [&](const isa::Operand& o) {
                        return o.type == isa::OperandType::kS || o.type == isa::OperandType::kFx ||
                               (o.kind == isa::OperandKind::kM && o.type == isa::OperandType::kNone) ||
                               (o.kind == isa::OperandKind::kE && row.has(isa::attribute::kForce64));
                      });
}

// Every row that 32-bit code has: the same mnemonic, operands and sizes.
TEST(LongModeRewriteOfEveryRow, MeansTheSameToCapstone) {
  isa::CapstoneReference narrow(isa::CodeSize::k32), wide(isa::CodeSize::k64);
  constexpr unsigned kTries = 60;
  unsigned compared = 0;
  for (const isa::InsnRow& row : isa::rows()) {
    // #UD or #GP, whatever the operands are.
    if (row.support == isa::Support::kDecodeOnly || row.has(isa::attribute::kModIgnored)) continue;
    Rng rng = Rng::for_case(1, row.name(), row.encoding.opcode);
    for (unsigned i = 0; i < kTries; i++) {
      const auto code = encode_row(rng, row, isa::CodeSize::k32);
      if (!code || !code->decoded) continue;
      const Rewritten rewritten = rewrite_for_long_mode(row, code->insn, code->bytes);
      if (rewritten.left_out != LeftOut::kNot) continue;
      const bool with_size = accesses_of_one_size(row);
      const auto before =
          describe(narrow.decode(for_capstone(code->bytes, row, isa::CodeSize::k32)), with_size);
      if (before.empty()) continue;  // to Capstone there is no such instruction
      compared++;
      EXPECT_EQ(describe(wide.decode(for_capstone(rewritten.bytes, row, isa::CodeSize::k64)), with_size),
                before)
          << testing::PrintToString(code->bytes) << " "
          << isa::disassemble(code->bytes, isa::CodeSize::k32, 0) << " became "
          << isa::disassemble(rewritten.bytes, isa::CodeSize::k64, 0);
    }
  }
  EXPECT_GT(compared, 20000u);
}

}  // namespace
}  // namespace vireo::diff
