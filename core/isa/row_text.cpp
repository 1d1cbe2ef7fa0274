#include "core/isa/row_text.h"

#include "core/check.h"

namespace vireo::isa {
namespace {

constexpr uint64_t kFlagOrder[] = {rflags::kOf, rflags::kDf, rflags::kIf, rflags::kTf, rflags::kSf,
                                   rflags::kZf, rflags::kAf, rflags::kPf, rflags::kCf};

struct FixedOperand {
  std::string_view text;
  Operand operand;
};
constexpr FixedOperand kFixedOperands[] = {
    {"AL", {OperandKind::kGpr, OperandType::kB, 0}},    {"CL", {OperandKind::kGpr, OperandType::kB, 1}},
    {"DX", {OperandKind::kGpr, OperandType::kW, 2}},    {"eAX", {OperandKind::kGpr, OperandType::kZ, 0}},
    {"rAX", {OperandKind::kGpr, OperandType::kV, 0}},   {"AX", {OperandKind::kGpr, OperandType::kW, 0}},
    {"ES", {OperandKind::kSreg, OperandType::kW, 0}},   {"CS", {OperandKind::kSreg, OperandType::kW, 1}},
    {"SS", {OperandKind::kSreg, OperandType::kW, 2}},   {"DS", {OperandKind::kSreg, OperandType::kW, 3}},
    {"FS", {OperandKind::kSreg, OperandType::kW, 4}},   {"GS", {OperandKind::kSreg, OperandType::kW, 5}},
    {"ST0", {OperandKind::kSt, OperandType::kT, 0}},    {"STi", {OperandKind::kSti, OperandType::kT, 0}},
    {"XMM0", {OperandKind::kXmm, OperandType::kDq, 0}}, {"1", {OperandKind::kOne, OperandType::kB, 0}},
};

struct TypeName {
  std::string_view text;
  OperandType type;
};
constexpr TypeName kTypes[] = {
    {"", OperandType::kNone},   {"b", OperandType::kB},     {"w", OperandType::kW},
    {"d", OperandType::kD},     {"q", OperandType::kQ},     {"dq", OperandType::kDq},
    {"qq", OperandType::kQq},   {"bs", OperandType::kBs},   {"t", OperandType::kT},
    {"v", OperandType::kV},     {"z", OperandType::kZ},     {"y", OperandType::kY},
    {"a", OperandType::kA},     {"p", OperandType::kP},     {"s", OperandType::kS},
    {"x", OperandType::kX},     {"ps", OperandType::kX},    {"pd", OperandType::kX},
    {"ss", OperandType::kD},    {"sd", OperandType::kQ},    {"pi", OperandType::kQ},
    {"env", OperandType::kEnv}, {"fst", OperandType::kFst}, {"fx", OperandType::kFx},
};

constexpr std::string_view kLetters = "ABCDEGHIJLMNOPQRSTUVWXYZ";
static_assert(static_cast<size_t>(OperandKind::kZ) == kLetters.size(), "OperandKind must follow the letters");

Operand parse_operand(std::string_view text) {
  for (const FixedOperand& fixed : kFixedOperands) {
    if (fixed.text == text) return fixed.operand;
  }
  const size_t letter = kLetters.find(text[0]);
  CHECK(letter != std::string_view::npos);
  for (const TypeName& name : kTypes) {
    if (name.text == text.substr(1)) return {static_cast<OperandKind>(letter + 1), name.type, 0};
  }
  CHECK(!"unknown operand type");
  return {};
}

/// Cuts the first token off `text`.
std::string_view next_token(std::string_view& text, char separator) {
  const size_t end = text.find(separator);
  std::string_view token = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  while (!text.empty() && text[0] == ' ') text.remove_prefix(1);
  return token;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The value of a token that starts with two hexadecimal digits, else -1.
int hex_byte(std::string_view token) {
  if (token.size() < 2 || hex_digit(token[0]) < 0 || hex_digit(token[1]) < 0) return -1;
  return hex_digit(token[0]) * 16 + hex_digit(token[1]);
}

void parse_vex(std::string_view token, Encoding& encoding) {
  encoding.prefixes = 0;
  next_token(token, '.');
  while (!token.empty()) {
    const std::string_view part = next_token(token, '.');
    if (part == "128" || part == "LZ" || part == "L0") {
      encoding.l = 1;
    } else if (part == "256" || part == "L1") {
      encoding.l = 2;
    } else if (part == "NP") {
      encoding.prefixes = 1;
    } else if (part == "66") {
      encoding.prefixes = 2;
    } else if (part == "F3") {
      encoding.prefixes = 4;
    } else if (part == "F2") {
      encoding.prefixes = 8;
    } else if (part == "0F") {
      encoding.map = OpcodeMap::kVex0F;
    } else if (part == "0F38") {
      encoding.map = OpcodeMap::kVex0F38;
    } else if (part == "0F3A") {
      encoding.map = OpcodeMap::kVex0F3A;
    } else if (part == "W0") {
      encoding.w = 1;
    } else if (part == "W1") {
      encoding.w = 2;
    } else {
      CHECK(part == "LIG" || part == "WIG");
    }
  }
  CHECK(encoding.prefixes != 0 && encoding.vex());
}

/// Parses a prefix token (before the opcode); false if it is none.
bool parse_prefix(std::string_view token, bool opcode_follows, Encoding& encoding) {
  if (token == "NP") {
    encoding.prefixes = 1;
  } else if (token == "NFx") {
    encoding.prefixes = 3;
  } else if (token == "66" && opcode_follows) {
    encoding.prefixes = 2;
    encoding.mandatory = 0x66;
  } else if (token == "F3" && opcode_follows) {
    encoding.prefixes = 4;
    encoding.mandatory = 0xf3;
  } else if (token == "F2" && opcode_follows) {
    encoding.prefixes = 8;
    encoding.mandatory = 0xf2;
  } else if (token == "REX.W") {
    encoding.w = 2;
  } else if (token == "REX.W0") {
    encoding.w = 1;
  } else if (token == "REX.B") {
    encoding.b = 2;
  } else if (token == "REX.B0") {
    encoding.b = 1;
  } else if (token.starts_with("VEX.")) {
    parse_vex(token, encoding);
  } else {
    return false;
  }
  return true;
}

constexpr std::array<uint64_t, 4> kMemoryForms = {~0ull, ~0ull, ~0ull, 0};
constexpr std::array<uint64_t, 4> kRegisterForms = {0, 0, 0, ~0ull};

void keep_modrm(Encoding& encoding, const std::array<uint64_t, 4>& wanted) {
  encoding.has_modrm = true;
  for (size_t i = 0; i < wanted.size(); i++) encoding.modrm[i] &= wanted[i];
}

void keep_reg(Encoding& encoding, unsigned reg) {
  const uint64_t mask = 0xffull << (reg * 8);
  keep_modrm(encoding, {mask, mask, mask, mask});
}

/// Memory-only and register-only rows by their operands' letters.
void restrict_mod(InsnRow& row) {
  if (row.has(attribute::kModIgnored)) return;
  for (const Operand& operand : row.operands) {
    switch (operand.kind) {
      case OperandKind::kM:
        keep_modrm(row.encoding, kMemoryForms);
        break;
      case OperandKind::kN:
      case OperandKind::kR:
      case OperandKind::kU:
        keep_modrm(row.encoding, kRegisterForms);
        break;
      default:
        break;
    }
  }
  if (row.has(attribute::kRegOnly)) keep_modrm(row.encoding, kRegisterForms);
}

}  // namespace

FlagEffects parse_flags(std::string_view text) {
  CHECK(text.size() == std::size(kFlagOrder));
  FlagEffects effects;
  for (size_t i = 0; i < text.size(); i++) {
    const uint32_t bit = static_cast<uint32_t>(kFlagOrder[i]);
    const char c = text[i];
    CHECK(std::string_view("-MTXU01").find(c) != std::string_view::npos);
    if (c == 'T' || c == 'X') effects.tested |= bit;
    if (c != '-' && c != 'T') effects.modified |= bit;
    if (c == 'U') effects.undefined |= bit;
    if (c == '0') effects.cleared |= bit;
    if (c == '1') effects.set |= bit;
  }
  return effects;
}

void parse_operands(std::string_view text, InsnRow& row) {
  while (!text.empty()) {
    CHECK(row.operand_count < row.operands.size());
    row.operands[row.operand_count++] = parse_operand(next_token(text, ','));
  }
}

void parse_encoding(std::string_view text, InsnRow& row) {
  Encoding& encoding = row.encoding;
  while (true) {
    std::string_view rest = text;
    const std::string_view token = next_token(rest, ' ');
    if (!parse_prefix(token, !rest.empty() && rest[0] != '/', encoding)) break;
    text = rest;
  }
  std::string_view token = next_token(text, ' ');
  if (token == "0F" && !encoding.vex()) {
    encoding.map = OpcodeMap::k0F;
    token = next_token(text, ' ');
    if (token == "38" || token == "3A") {
      encoding.map = token == "38" ? OpcodeMap::k0F38 : OpcodeMap::k0F3A;
      token = next_token(text, ' ');
    }
  }
  CHECK(hex_byte(token) >= 0);
  encoding.opcode = static_cast<uint8_t>(hex_byte(token));
  if (token.ends_with("+r")) encoding.opcode_count = 8;
  if (token.ends_with("+cc")) encoding.opcode_count = 16;

  while (!text.empty()) {
    token = next_token(text, ' ');
    if (token == "/r") {
      encoding.has_modrm = true;
    } else if (token[0] == '/') {
      const unsigned digit = static_cast<unsigned>(hex_digit(token[1]));
      CHECK(digit < 8);
      keep_reg(encoding, digit);
    } else if (encoding.has_modrm) {  // 3DNow!: the byte after the operands is the opcode
      encoding.map = OpcodeMap::k3dnow;
      encoding.opcode = static_cast<uint8_t>(hex_byte(token));
    } else {
      const unsigned fixed = static_cast<unsigned>(hex_byte(token));
      CHECK(fixed >= 0xc0 && fixed <= 0xff);
      const uint64_t bits = token.ends_with("+i") ? 0xff : 1;
      keep_modrm(encoding, {0, 0, 0, bits << (fixed & 63)});
    }
  }
  restrict_mod(row);
  if (row.has(attribute::kNo64)) encoding.modes = 1;
  if (row.has(attribute::kOnly64)) encoding.modes = 2;
}

}  // namespace vireo::isa
