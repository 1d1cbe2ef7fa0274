#include "tests/differential/long_mode_rewrite.h"

#include <algorithm>
#include <array>

#include "core/isa/decode.h"

namespace vireo::diff {
namespace {

using isa::Insn;
using isa::InsnClass;
using isa::InsnRow;
using isa::Mnemonic;
using isa::OpcodeMap;
using isa::OperandKind;
using isa::OperandType;
namespace attribute = isa::attribute;

constexpr uint8_t kDsPrefix = 0x3e, kFsPrefix = 0x64, kGsPrefix = 0x65;
constexpr std::array<uint8_t, 11> kPrefixes = {0x26, 0x2e, 0x36, kDsPrefix,          kFsPrefix, kGsPrefix,
                                               0x66, 0xf0, 0xf2, kAddressSizePrefix, 0xf3};

template <class Predicate>
bool any_operand(const InsnRow& row, Predicate predicate) {
  return std::any_of(row.operands.begin(), row.operands.begin() + row.operand_count, predicate);
}

bool has_operand(const InsnRow& row, OperandKind kind) {
  return any_operand(row, [kind](const isa::Operand& o) { return o.kind == kind; });
}

bool has_operand(const InsnRow& row, OperandType type) {
  return any_operand(row, [type](const isa::Operand& o) { return o.type == type; });
}

/// INC and DEC with the register in the opcode, where 64-bit code has REX.
bool is_short_form(const InsnRow& row) {
  return row.has(attribute::kNo64) && row.encoding.map == OpcodeMap::k1 &&
         (row.encoding.opcode & 0xf0) == 0x40;
}

/// The other name of 80h.
bool is_opcode_82(const InsnRow& row) {
  return row.encoding.map == OpcodeMap::k1 && row.encoding.opcode == 0x82;
}

/// rCX is counted by the address size, too.
bool counts_in_rcx(const InsnRow& row) {
  switch (row.mnemonic) {
    case Mnemonic::JCXZ:
    case Mnemonic::LOOP:
    case Mnemonic::LOOPE:
    case Mnemonic::LOOPNE:
      return true;
    default:
      return false;
  }
}

bool depends_on_address_size(const InsnRow& row, const Insn& insn) {
  return has_modrm_memory(row, insn) || has_operand(row, OperandKind::kO) ||
         has_operand(row, OperandKind::kX) || has_operand(row, OperandKind::kY) ||
         row.has(attribute::kImplicitMemory) || counts_in_rcx(row);
}

bool stores_to_memory(const InsnRow& row, const Insn& insn) {
  if (row.has(attribute::kImplicitMemory)) return row.mnemonic != Mnemonic::XLAT;
  const auto is_memory = [&](const isa::Operand& o) {
    switch (o.kind) {
      case OperandKind::kO:
        return true;
      case OperandKind::kE:
      case OperandKind::kM:
      case OperandKind::kQ:
      case OperandKind::kW:
        return insn.is_memory();
      default:
        return false;
    }
  };
  return (is_memory(row.operands[0]) && !row.has(attribute::kFirstRead)) ||
         (is_memory(row.operands[1]) && row.has(attribute::kSecondWritten));
}

struct Rule {
  LeftOut why;
  bool (*applies)(const InsnRow& row, const Insn& insn);
};

constexpr Rule kRules[] = {
    {LeftOut::kNoSuchInsn,
     [](const InsnRow& row, const Insn&) {
       return row.has(attribute::kNo64) && !is_short_form(row) && !is_opcode_82(row);
     }},
    {LeftOut::kSegments,
     [](const InsnRow& row, const Insn&) { return row.insn_class == InsnClass::Segment; }},
    {LeftOut::kFarTransfer,
     [](const InsnRow& row, const Insn&) {
       return has_operand(row, OperandType::kP) || row.mnemonic == Mnemonic::RETF ||
              row.mnemonic == Mnemonic::IRET;
     }},
    {LeftOut::kStackWidth,
     [](const InsnRow& row, const Insn& insn) {
       return (row.has(attribute::kDefault64) && insn.operand_size != 2) || row.mnemonic == Mnemonic::CALL ||
              row.mnemonic == Mnemonic::RET;
     }},
    {LeftOut::kBranchWidth,
     [](const InsnRow& row, const Insn& insn) {
       return row.insn_class == InsnClass::Control && row.has(attribute::kForce64) &&
              (insn.operand_size == 2 || has_modrm_memory(row, insn));
     }},
    {LeftOut::kTables,
     [](const InsnRow& row, const Insn&) {
       const bool reads_selector =
           row.mnemonic == Mnemonic::SLDT || row.mnemonic == Mnemonic::STR || row.mnemonic == Mnemonic::SMSW;
       return reads_selector || (has_operand(row, OperandType::kS) && row.has(attribute::kFirstWritten));
     }},
    {LeftOut::kMoreRegisters,
     [](const InsnRow& row, const Insn&) {
       return has_operand(row, OperandType::kFx) && row.has(attribute::kFirstWritten);
     }},
    {LeftOut::k16BitAddress,
     [](const InsnRow& row, const Insn& insn) {
       return insn.address_size == 2 && depends_on_address_size(row, insn);
     }},
    {LeftOut::kCodeSegmentStore,
     [](const InsnRow& row, const Insn& insn) {
       return insn.segment == SegReg::kCs && stores_to_memory(row, insn);
     }},
};

size_t opcode_bytes(OpcodeMap map) {
  return map == OpcodeMap::k1 ? 1 : map == OpcodeMap::k0F || map == OpcodeMap::k3dnow ? 2 : 3;
}

}  // namespace

bool has_modrm_memory(const InsnRow& row, const Insn& insn) {
  return row.encoding.has_modrm && insn.is_memory() && !row.has(attribute::kModIgnored);
}

Rewritten rewrite_for_long_mode(const InsnRow& row, const Insn& insn, std::span<const uint8_t> bytes) {
  for (const Rule& rule : kRules) {
    if (rule.applies(row, insn)) return {rule.why, {}};
  }
  std::vector<uint8_t> out(bytes.begin(), bytes.end());
  const auto is_prefix = [](uint8_t byte) { return std::ranges::find(kPrefixes, byte) != kPrefixes.end(); };
  const auto opcode = std::find_if_not(out.begin(), out.end(), is_prefix);
  // FS and GS have bases of the host's in 64-bit code; DS has none.
  std::replace_if(
      out.begin(), opcode, [](uint8_t b) { return b == kFsPrefix || b == kGsPrefix; }, kDsPrefix);
  if (is_opcode_82(row)) *opcode = 0x80;
  if (is_short_form(row)) {
    // FF /0 or /1
    const uint8_t modrm = static_cast<uint8_t>(0xc0 | (*opcode & 0x0f));
    *opcode = 0xff;
    out.insert(opcode + 1, modrm);
  } else if (has_modrm_memory(row, insn) && (insn.modrm & 0xc7) == 0x05) {
    // Without a SIB byte it would count from RIP.
    constexpr uint8_t kSibFollows = 4, kNeitherBaseNorIndex = 0x25;
    const auto modrm = opcode + static_cast<std::ptrdiff_t>(opcode_bytes(row.encoding.map));
    *modrm = static_cast<uint8_t>((*modrm & ~7) | kSibFollows);
    out.insert(modrm + 1, kNeitherBaseNorIndex);
  }
  if (depends_on_address_size(row, insn)) out.insert(out.begin(), kAddressSizePrefix);
  if (out.size() > isa::kMaxInsnLength) return {LeftOut::kTooLong, {}};
  return {LeftOut::kNot, std::move(out)};
}

}  // namespace vireo::diff
