#include "core/isa/insn_row.h"

#include <vector>

#include "core/isa/row_text.h"

namespace vireo::isa {
namespace {

/// What a ROW says beyond its texts: the words that insn_table.inc uses for it.
struct Extras {
  uint32_t attributes = 0;
  const char* flags = nullptr;
  Feature feature = Feature::kCount;
};
struct Attribute {
  uint32_t bits;
};
struct Flags {
  explicit constexpr Flags(const char* text_) : text(text_) {}
  const char* text;
};
constexpr void add(Extras& extras, Attribute attribute) {
  extras.attributes |= attribute.bits;
}
constexpr void add(Extras& extras, Flags flags) {
  extras.flags = flags.text;
}
constexpr void add(Extras& extras, Feature feature) {
  extras.feature = feature;
}

[[maybe_unused]] constexpr Attribute Lock{attribute::kLock}, No64{attribute::kNo64},
    Only64{attribute::kOnly64}, Default64{attribute::kDefault64}, Force64{attribute::kForce64},
    RegOnly{attribute::kRegOnly}, ModIgnored{attribute::kModIgnored}, Rep{attribute::kRep},
    RepWhile{attribute::kRepWhile}, Undocumented{attribute::kUndocumented},
    ImplicitMemory{attribute::kImplicitMemory}, BitString{attribute::kBitString},
    FlagsIfCount{attribute::kFlagsIfCount}, ElseUnprefixed{attribute::kElseUnprefixed},
    R1{attribute::kFirstRead}, W1{attribute::kFirstWritten}, RW2{attribute::kSecondWritten},
    Vsib{attribute::kVsib}, NoWait{attribute::kNoWait}, Unaligned{attribute::kUnaligned};
[[maybe_unused]] constexpr Feature I186 = Feature::kI186, I386 = Feature::kI386, Nopl = Feature::kNopl,
                                   Sse = Feature::kSse, Sse2 = Feature::kSse2, Ssse3 = Feature::kSsse3,
                                   Sse41 = Feature::kSse41, Avx2 = Feature::kAvx2, MmxExt = Feature::kMmxExt;

struct Header {
  Support support;
  Family family;
  InsnClass insn_class;
  Feature feature;
  const char* flags;
};

constexpr Header kHeaders[] = {
#define INSTRUCTION(name, family, class, feature, flags) \
  {Support::kHandler, Family::family, InsnClass::class, Feature::k##feature, flags},
#define NATIVE(name, family, class, feature, flags) \
  {Support::kNative, Family::family, InsnClass::class, Feature::k##feature, flags},
#define DECODE_ONLY(name, family, class, feature, flags) \
  {Support::kDecodeOnly, Family::family, InsnClass::class, Feature::k##feature, flags},
#include "core/isa/insn_table.inc"
};

/// SSE mnemonics that exist on MMX registers too are of the class of their operands.
InsnClass simd_class(const InsnRow& row) {
  InsnClass found = row.insn_class;
  for (const Operand& operand : row.operands) {
    switch (operand.kind) {
      case OperandKind::kU:
      case OperandKind::kV:
      case OperandKind::kW:
        return InsnClass::Sse;
      case OperandKind::kN:
      case OperandKind::kP:
      case OperandKind::kQ:
        found = InsnClass::Mmx;
        break;
      default:
        break;
    }
  }
  return found;
}

/// A ROW as it stands in the table.
struct Spec {
  Mnemonic mnemonic;
  const char* encoding;
  const char* operands;
  Extras extras;
};

template <class... Words>
constexpr Spec make_spec(Mnemonic mnemonic, const char* encoding, const char* operands, Words... words) {
  Spec spec{mnemonic, encoding, operands, {}};
  (add(spec.extras, words), ...);
  return spec;
}

constexpr Spec kSpecs[] = {
#define ROW(name, ...) make_spec(Mnemonic::name, __VA_ARGS__),
#include "core/isa/insn_table.inc"
};

InsnRow make_row(const Spec& spec) {
  const Header& header = kHeaders[static_cast<size_t>(spec.mnemonic)];
  InsnRow row;
  row.mnemonic = spec.mnemonic;
  row.support = header.support;
  row.family = header.family;
  row.insn_class = header.insn_class;
  row.feature = spec.extras.feature == Feature::kCount ? header.feature : spec.extras.feature;
  row.attributes = spec.extras.attributes;
  row.flags = parse_flags(spec.extras.flags ? spec.extras.flags : header.flags);
  row.encoding_text = spec.encoding;
  row.operand_text = spec.operands;
  parse_operands(spec.operands, row);
  if (row.insn_class == InsnClass::Mmx || row.insn_class == InsnClass::Sse) row.insn_class = simd_class(row);
  parse_encoding(spec.encoding, row);
  return row;
}

std::vector<InsnRow> build_rows() {
  std::vector<InsnRow> rows;
  rows.reserve(std::size(kSpecs));
  for (const Spec& spec : kSpecs) rows.push_back(make_row(spec));
  return rows;
}

}  // namespace

std::span<const InsnRow> rows() {
  static const std::vector<InsnRow> kRows = build_rows();
  return kRows;
}

uint32_t condition_flags(uint8_t cc) {
  using namespace rflags;
  constexpr uint64_t kByPair[] = {kOf, kCf, kZf, kCf | kZf, kSf, kPf, kSf | kOf, kZf | kSf | kOf};
  return static_cast<uint32_t>(kByPair[(cc >> 1) & 7]);
}

unsigned operand_bytes(Operand operand, const Insn& insn) {
  const bool wide = insn.operand_size != 2;
  switch (operand.type) {
    case OperandType::kNone:
      return 0;
    case OperandType::kB:
    case OperandType::kBs:
      return 1;
    case OperandType::kW:
      return 2;
    case OperandType::kD:
      return 4;
    case OperandType::kQ:
      return 8;
    case OperandType::kDq:
      return 16;
    case OperandType::kQq:
      return 32;
    case OperandType::kT:
      return 10;
    case OperandType::kV:
      return insn.operand_size;
    case OperandType::kZ:
      return wide ? 4 : 2;
    case OperandType::kY:
      return insn.operand_size == 8 ? 8 : 4;
    case OperandType::kA:
      return 2u * insn.operand_size;
    case OperandType::kP:
      return insn.operand_size + 2u;
    case OperandType::kS:
      return insn.operand_size == 8 ? 10 : 6;
    case OperandType::kX:
      return insn.vex_l ? 32 : 16;
    case OperandType::kEnv:
      return wide ? 28 : 14;
    case OperandType::kFst:
      return wide ? 108 : 94;
    case OperandType::kFx:
      return 512;
  }
  return 0;
}

}  // namespace vireo::isa
