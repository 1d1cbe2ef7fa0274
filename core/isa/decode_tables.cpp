#include "core/isa/decode_tables.h"

#include <fmt/format.h>

namespace vireo::isa {
namespace {

unsigned modrm_slot(ModrmSelect select, unsigned byte) {
  const unsigned reg = (byte >> 3) & 7;
  if (select == ModrmSelect::kNone) return 0;
  if (select == ModrmSelect::kRegMod) return reg + (byte >= 0xc0 ? 8 : 0);
  return byte >= 0xc0 ? 8 + (byte & 63) : reg;
}
constexpr unsigned kSlots[] = {1, 16, 72};

ModrmSelect modrm_select(const Encoding& encoding) {
  ModrmSelect select = ModrmSelect::kNone;
  for (uint64_t mask : encoding.modrm) {
    if (mask != ~0ull) select = ModrmSelect::kRegMod;
  }
  for (unsigned reg = 0; reg < 8; reg++) {
    const uint8_t rms = static_cast<uint8_t>(encoding.modrm[3] >> (reg * 8));
    if (rms != 0 && rms != 0xff) return ModrmSelect::kRegByte;
  }
  return select;
}

/// Every encoding of `a` is one of `b`.
bool subset(const Encoding& a, const Encoding& b) {
  if (a.opcode < b.opcode || a.opcode + a.opcode_count > b.opcode + b.opcode_count) return false;
  for (size_t i = 0; i < a.modrm.size(); i++) {
    if (a.modrm[i] & ~b.modrm[i]) return false;
  }
  return !(a.prefixes & ~b.prefixes) && !(a.w & ~b.w) && !(a.l & ~b.l) && !(a.b & ~b.b) &&
         !(a.modes & ~b.modes);
}

class Builder {
 public:
  DecodeTables build() {
    tables_.cells.push_back(0);
    for (const InsnRow& row : rows()) tables_.rows.push_back(decode_row(row));
    for (uint16_t i = 0; i < rows().size(); i++) {
      const Encoding& encoding = row(i).encoding;
      for (unsigned n = 0; n < encoding.opcode_count; n++)
        by_opcode_[static_cast<unsigned>(encoding.map)][encoding.opcode + n].push_back(i);
    }
    for (unsigned map = 0; map < kOpcodeMaps; map++) {
      for (unsigned opcode = 0; opcode < 256; opcode++) {
        for (unsigned mode = 0; mode < 2; mode++) add_opcode(map, opcode, mode);
      }
    }
    for (auto& maps : tables_.opcodes) add_undefined_opcodes(maps);
    // What 64-bit mode has done away with is as long as it was.
    for (unsigned opcode = 0; opcode < 256; opcode++) {
      OpcodeEntry& entry = tables_.opcodes[1][0][opcode];
      const OpcodeEntry& before = tables_.opcodes[0][0][opcode];
      if (entry.base != 0) continue;
      entry.has_modrm = before.has_modrm;
      entry.undefined_imm = before.undefined_imm;
    }
    return std::move(tables_);
  }

 private:
  void add_opcode(unsigned map, unsigned opcode, unsigned mode) {
    mine_.clear();
    for (uint16_t i : by_opcode_[map][opcode]) {
      if ((row(i).encoding.modes >> mode) & 1) mine_.push_back(i);
    }
    if (mine_.empty()) return;
    OpcodeEntry& entry = tables_.opcodes[mode][map][opcode];
    lay_out(entry);
    for (uint16_t i : mine_) place(entry, i);
  }

  /// Lengths of opcodes without rows, as measured on the host CPU.
  static void add_undefined_opcodes(std::array<std::array<OpcodeEntry, 256>, kOpcodeMaps>& maps) {
    const auto of = [&maps](OpcodeMap map) -> auto& {
      return maps[static_cast<unsigned>(map)];
    };
    for (unsigned opcode : {0x7a, 0x7b, 0xa6, 0xa7}) of(OpcodeMap::k0F)[opcode].has_modrm = true;
    for (unsigned opcode = 0; opcode < 256; opcode++) {
      for (OpcodeMap map : {OpcodeMap::k0F38, OpcodeMap::k0F3A}) {
        OpcodeEntry& entry = of(map)[opcode];
        if (entry.base != 0) continue;
        entry.has_modrm = true;
        if (map == OpcodeMap::k0F3A) entry.undefined_imm = ImmKind::kIb;
      }
      // With VEX they are those of the same map without.
      constexpr OpcodeMap kVex[][2] = {{OpcodeMap::kVex0F, OpcodeMap::k0F},
                                       {OpcodeMap::kVex0F38, OpcodeMap::k0F38},
                                       {OpcodeMap::kVex0F3A, OpcodeMap::k0F3A}};
      for (const auto& [vex, legacy] : kVex) {
        OpcodeEntry& entry = of(vex)[opcode];
        if (entry.base != 0) continue;
        entry.has_modrm = of(legacy)[opcode].has_modrm;
        entry.undefined_imm = of(legacy)[opcode].undefined_imm;
      }
    }
  }

  void lay_out(OpcodeEntry& entry) {
    entry.has_modrm = row(mine_[0]).encoding.has_modrm;
    entry.undefined_imm = tables_.rows[mine_[0]].imm;
    uint8_t prefixes = 15, w = 3, l = 3, b = 3;
    for (uint16_t i : mine_) {
      const Encoding& encoding = row(i).encoding;
      prefixes &= encoding.prefixes;
      w &= encoding.w;
      l &= encoding.l;
      b &= encoding.b;
      entry.modrm_select = std::max(entry.modrm_select, modrm_select(encoding));
      if (tables_.rows[i].imm != entry.undefined_imm) entry.undefined_imm = ImmKind::kNone;
      if (encoding.has_modrm != entry.has_modrm) report(mine_[0], i, "differ in having a ModRM byte");
    }
    unsigned stride = kSlots[static_cast<unsigned>(entry.modrm_select)];
    const auto dimension = [&stride](uint16_t& out, bool differs, unsigned values) {
      if (!differs) return;
      out = static_cast<uint16_t>(stride);
      stride *= values;
    };
    dimension(entry.prefix_stride, prefixes != 15, 4);
    dimension(entry.w_stride, w != 3, 2);
    dimension(entry.l_stride, l != 3, 2);
    dimension(entry.b_stride, b != 3, 2);
    entry.base = static_cast<uint32_t>(tables_.cells.size());
    tables_.cells.resize(tables_.cells.size() + stride);
  }

  void place(const OpcodeEntry& entry, uint16_t index) {
    const Encoding& encoding = row(index).encoding;
    const unsigned prefixes = entry.prefix_stride ? 4 : 1, ws = entry.w_stride ? 2 : 1;
    const unsigned ls = entry.l_stride ? 2 : 1, bs = entry.b_stride ? 2 : 1;
    const unsigned modrms = entry.modrm_select == ModrmSelect::kNone ? 1 : 256;
    for (unsigned p = 0; p < prefixes; p++) {
      if (prefixes > 1 && !((encoding.prefixes >> p) & 1)) continue;
      for (unsigned w = 0; w < ws; w++) {
        if (ws > 1 && !((encoding.w >> w) & 1)) continue;
        for (unsigned l = 0; l < ls; l++) {
          if (ls > 1 && !((encoding.l >> l) & 1)) continue;
          for (unsigned b = 0; b < bs; b++) {
            if (bs > 1 && !((encoding.b >> b) & 1)) continue;
            const unsigned base = entry.base + p * entry.prefix_stride + w * entry.w_stride +
                                  l * entry.l_stride + b * entry.b_stride;
            for (unsigned byte = 0; byte < modrms; byte++) {
              if (modrms == 1 || encoding.allows_modrm(static_cast<uint8_t>(byte)))
                set_cell(tables_.cells[base + modrm_slot(entry.modrm_select, byte)], index);
            }
          }
        }
      }
    }
  }

  void set_cell(uint16_t& cell, uint16_t index) {
    const uint16_t value = static_cast<uint16_t>(index + 1);
    if (cell == value) return;
    if (cell == 0) {
      cell = value;
      return;
    }
    const uint16_t other = static_cast<uint16_t>(cell - 1);
    const Encoding& mine = row(index).encoding;
    const Encoding& theirs = row(other).encoding;
    if (subset(mine, theirs) && !subset(theirs, mine)) {
      cell = value;
    } else if (!subset(theirs, mine) || subset(mine, theirs)) {
      report(other, index, "claim the same encoding");
    }
  }

  DecodeRow decode_row(const InsnRow& row) {
    DecodeRow out;
    out.mnemonic = row.mnemonic;
    if (row.encoding.mandatory == 0x66) out.size_rule = size_rule::kMandatory66;
    if (row.has(attribute::kDefault64)) out.size_rule = size_rule::kDefault64;
    if (row.has(attribute::kForce64)) out.size_rule = size_rule::kForce64;
    if (row.has(attribute::kLock)) out.checks |= decode_check::kLock;
    if (row.has(attribute::kModIgnored)) out.checks |= decode_check::kModIgnored;
    if (row.has(attribute::kVsib)) out.checks |= decode_check::kVsib;
    for (unsigned i = 0; i < row.operand_count; i++) add_operand(row.operands[i], i, row, out);
    return out;
  }

  void add_operand(const Operand& operand, unsigned position, const InsnRow& row, DecodeRow& out) {
    bool uses_modrm = true;
    switch (operand.kind) {
      case OperandKind::kS:
        out.checks |= decode_check::kSreg | decode_check::kNoRexR;
        if (position == 0) out.checks |= decode_check::kSregWritten;
        break;
      case OperandKind::kC:
        out.checks |= decode_check::kCreg;
        break;
      case OperandKind::kD:
        out.checks |= decode_check::kDreg;
        break;
      case OperandKind::kP:
        out.checks |= decode_check::kNoRexR;
        break;
      case OperandKind::kN:
      case OperandKind::kQ:
        out.checks |= decode_check::kNoRexB;
        break;
      case OperandKind::kE:
      case OperandKind::kG:
      case OperandKind::kM:
      case OperandKind::kR:
      case OperandKind::kT:
      case OperandKind::kU:
      case OperandKind::kV:
      case OperandKind::kW:
      case OperandKind::kSti:
        break;
      default:
        uses_modrm = false;
        break;
    }
    if (uses_modrm && !row.encoding.has_modrm)
      report_row(row, "has operands of a ModRM byte that it does not have");
    if (operand.kind == OperandKind::kH || operand.kind == OperandKind::kB)
      out.checks |= decode_check::kVvvvUsed;
    out.imm = imm_kind(operand, out.imm);
  }

  static ImmKind imm_kind(const Operand& operand, ImmKind before) {
    switch (operand.kind) {
      case OperandKind::kA:
        return ImmKind::kAp;
      case OperandKind::kO:
        return ImmKind::kO;
      case OperandKind::kL:
        return ImmKind::kIb;
      case OperandKind::kI:
      case OperandKind::kJ:
        break;
      default:
        return before;
    }
    if (before == ImmKind::kIw) return ImmKind::kIwIb;
    if (before == ImmKind::kIb) return ImmKind::kIbIb;
    switch (operand.type) {
      case OperandType::kB:
        return operand.kind == OperandKind::kJ ? ImmKind::kIbs : ImmKind::kIb;
      case OperandType::kBs:
        return ImmKind::kIbs;
      case OperandType::kW:
        return ImmKind::kIw;
      case OperandType::kZ:
        return ImmKind::kIz;
      default:
        return ImmKind::kIv;
    }
  }

  void report(uint16_t a, uint16_t b, const char* what) {
    if (!tables_.conflict.empty()) return;
    tables_.conflict =
        fmt::format("rows {} \"{}\" \"{}\" and {} \"{}\" \"{}\" {}", row(a).name(), row(a).encoding_text,
                    row(a).operand_text, row(b).name(), row(b).encoding_text, row(b).operand_text, what);
  }
  void report_row(const InsnRow& row, const char* what) {
    if (tables_.conflict.empty())
      tables_.conflict =
          fmt::format("row {} \"{}\" \"{}\" {}", row.name(), row.encoding_text, row.operand_text, what);
  }

  DecodeTables tables_;
  std::array<std::array<std::vector<uint16_t>, 256>, kOpcodeMaps> by_opcode_;
  std::vector<uint16_t> mine_;  ///< rows of the opcode being laid out
};

}  // namespace

DecodeTables build_decode_tables() {
  return Builder().build();
}

}  // namespace vireo::isa
