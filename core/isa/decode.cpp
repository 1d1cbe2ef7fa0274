#include "core/isa/decode.h"

#include <algorithm>
#include <cstring>

#include "core/isa/decode_tables.h"

namespace vireo::isa {
namespace {

const DecodeTables& tables() {
  static const DecodeTables kTables = build_decode_tables();
  return kTables;
}

enum class PrefixByte : uint8_t { kNone, kOperandSize, kAddressSize, kRep, kRepne, kLock, kSegment, kRex };

constexpr std::array<PrefixByte, 256> prefix_bytes(bool mode64) {
  std::array<PrefixByte, 256> table{};
  table[0x66] = PrefixByte::kOperandSize;
  table[0x67] = PrefixByte::kAddressSize;
  table[0xf3] = PrefixByte::kRep;
  table[0xf2] = PrefixByte::kRepne;
  table[0xf0] = PrefixByte::kLock;
  for (unsigned byte : {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65}) table[byte] = PrefixByte::kSegment;
  for (unsigned byte = 0x40; mode64 && byte < 0x50; byte++) table[byte] = PrefixByte::kRex;
  return table;
}
constexpr std::array<PrefixByte, 256> kPrefixBytes[2] = {prefix_bytes(false), prefix_bytes(true)};

SegReg segment_of_prefix(uint8_t byte) {
  return byte >= 0x64 ? static_cast<SegReg>(byte - 0x60) : static_cast<SegReg>((byte >> 3) & 3);
}

constexpr uint8_t kBx = 3, kBp = 5, kSi = 6, kDi = 7;
constexpr uint8_t kBase16[8] = {kBx, kBx, kBp, kBp, kSi, kDi, kBp, kBx};
constexpr uint8_t kIndex16[8] = {kSi, kDi, kSi, kDi, kNoRegister, kNoRegister, kNoRegister, kNoRegister};

/// Maps that hold nothing: 0F 39, 3C, 3D, and 3B, 3E, 3F. As long as their neighbours, as measured.
constexpr OpcodeEntry kReservedMap[2] = {{.has_modrm = true},
                                         {.has_modrm = true, .undefined_imm = ImmKind::kIb}};

/// Enough bytes to read any 15-byte instruction without looking at the end: 14 prefixes, VEX, opcode, ModRM,
/// SIB, displacement and the largest immediate that goes with them.
constexpr size_t kReadAhead = 32;

template <class T>
T load(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

/// Decodes from bytes that may be read up to kReadAhead, `available` of which are real.
class Decoder {
 public:
  Decoder(const uint8_t* bytes, size_t available, CodeSize code_size, Insn& out)
      : start_(bytes),
        at_(bytes),
        available_(available),
        mode64_(code_size == CodeSize::k64),
        code_size_(code_size),
        insn_(out) {}

  DecodeStatus run() {
    insn_ = Insn{};
    if (!read_prefixes()) return past_end();
    if (!read_opcode()) return undefined();
    if (entry_->has_modrm) insn_.modrm = *at_++;
    insn_.set_register_numbers();
    if (entry_->base == 0 || !find_row()) return undefined_operand();
    const bool registers_exist = !row_->checks || check_modrm();
    set_operand_size(row_->size_rule);
    set_address_size();
    if (entry_->has_modrm && insn_.modrm < 0xc0) read_memory_operand();
    if (!segment_overridden_ && stack_base_) insn_.segment = SegReg::kSs;
    if (map_ == OpcodeMap::k3dnow) at_++;
    if (row_->imm != ImmKind::kNone) read_immediate(row_->imm);
    if (length() > available_) return past_end();
    if (!registers_exist) return DecodeStatus::kUndefined;
    if ((insn_.prefixes & prefix::kLock) && !lock_allowed()) return DecodeStatus::kUndefined;
    if (map_ >= OpcodeMap::kVex0F && !check_vex()) return DecodeStatus::kUndefined;
    if ((row_->checks & decode_check::kVsib) && !check_vsib()) return DecodeStatus::kUndefined;
    insn_.length = static_cast<uint8_t>(length());
    return DecodeStatus::kOk;
  }

 private:
  size_t length() const { return static_cast<size_t>(at_ - start_); }
  DecodeStatus past_end() const {
    return available_ >= kMaxInsnLength ? DecodeStatus::kTooLong : DecodeStatus::kNeedMoreBytes;
  }
  /// The bytes looked at make no instruction; were they all there?
  DecodeStatus undefined() const { return length() > available_ ? past_end() : DecodeStatus::kUndefined; }

  /// No row. Its operands belong to it still: CPUs find the length first, so too long comes before undefined.
  DecodeStatus undefined_operand() {
    set_operand_size(size_rule::kNormal);
    set_address_size();
    if (entry_->has_modrm && insn_.modrm < 0xc0) read_memory_operand();
    read_immediate(entry_->undefined_imm);
    return undefined();
  }

  /// False if there are nothing but prefixes.
  bool read_prefixes() {
    const auto& kinds = kPrefixBytes[mode64_];
    PrefixByte kind;
    while ((kind = kinds[*at_]) != PrefixByte::kNone) {
      if (length() >= available_) return false;
      read_prefix(kind, *at_++);
    }
    return length() < available_;
  }

  void read_prefix(PrefixByte kind, uint8_t byte) {
    if (kind != PrefixByte::kRex) insn_.rex = 0;  // REX counts only right before the opcode
    switch (kind) {
      case PrefixByte::kOperandSize:
        insn_.prefixes |= prefix::kOperandSize;
        break;
      case PrefixByte::kAddressSize:
        insn_.prefixes |= prefix::kAddressSize;
        break;
      case PrefixByte::kRep:
      case PrefixByte::kRepne:
        insn_.prefixes &= static_cast<uint8_t>(~(prefix::kRep | prefix::kRepne));
        insn_.prefixes |= kind == PrefixByte::kRep ? prefix::kRep : prefix::kRepne;
        break;
      case PrefixByte::kLock:
        insn_.prefixes |= prefix::kLock;
        break;
      case PrefixByte::kSegment:
        if (mode64_ && byte < 0x64) break;
        insn_.segment = segment_of_prefix(byte);
        insn_.prefixes |= prefix::kSegment;
        segment_overridden_ = true;
        break;
      case PrefixByte::kRex:
        insn_.rex = byte;
        break;
      case PrefixByte::kNone:
        break;
    }
  }

  bool read_opcode() {
    if (insn_.rex) {
      insn_.prefixes |= prefix::kRex;
      insn_.rex &= 15;
    }
    uint8_t opcode = *at_++;
    if (opcode == 0x0f) {
      map_ = OpcodeMap::k0F;
      opcode = *at_++;
      if (opcode >= 0x38 && opcode <= 0x3f) {
        const bool like_0f3a = (opcode & 2) != 0;
        if (opcode != 0x38 && opcode != 0x3a) {
          at_++;
          entry_ = &kReservedMap[like_0f3a];
          return true;
        }
        map_ = like_0f3a ? OpcodeMap::k0F3A : OpcodeMap::k0F38;
        opcode = *at_++;
      } else if (opcode == 0x0f) {
        return find_3dnow_opcode();
      }
    } else if ((opcode == 0xc4 || opcode == 0xc5) && (mode64_ || *at_ >= 0xc0)) {
      if (!read_vex(opcode == 0xc4)) return false;
      opcode = *at_++;
    }
    insn_.opcode = opcode;
    entry_ = &tables_.opcodes[mode64_][static_cast<unsigned>(map_)][opcode];
    return true;
  }

  /// The opcode follows the operands.
  bool find_3dnow_opcode() {
    map_ = OpcodeMap::k3dnow;
    const uint8_t* const modrm = at_;
    insn_.modrm = *at_++;
    set_address_size();
    if (insn_.modrm < 0xc0) read_memory_operand();
    insn_.opcode = *at_;
    entry_ = &tables_.opcodes[mode64_][static_cast<unsigned>(map_)][insn_.opcode];
    if (entry_->base == 0) {
      at_++;
      return false;
    }
    at_ = modrm;
    return true;
  }

  bool read_vex(bool three_bytes) {
    const uint8_t first = *at_++;
    uint8_t last = first;
    uint8_t map = 1;
    insn_.rex = (first >> 5) & 4;
    if (three_bytes) {
      insn_.rex = first >> 5;
      map = first & 31;
      last = *at_++;
    }
    insn_.rex ^= 7 & (three_bytes ? 7 : 4);
    if (three_bytes) insn_.rex |= (last >> 4) & 8;
    if (!mode64_) insn_.rex &= 8;
    insn_.vex_vvvv = (~last >> 3) & 15;
    insn_.vex_l = (last >> 2) & 1;
    vex_prefix_ = last & 3;
    if (map < 1 || map > 3) return false;
    insn_.prefixes |= prefix::kVex;
    map_ = static_cast<OpcodeMap>(static_cast<unsigned>(OpcodeMap::kVex0F) + map - 1);
    return true;
  }

  bool find_row() {
    uint32_t cell = entry_->base;
    if (entry_->prefix_stride) cell += entry_->prefix_stride * mandatory_prefix();
    cell += entry_->w_stride * (insn_.rex >> 3);
    cell += entry_->l_stride * insn_.vex_l;
    cell += entry_->b_stride * (insn_.rex & 1);
    const unsigned reg = (insn_.modrm >> 3) & 7;
    if (entry_->modrm_select == ModrmSelect::kRegMod) {
      cell += reg + (insn_.modrm >= 0xc0 ? 8 : 0);
    } else if (entry_->modrm_select == ModrmSelect::kRegByte) {
      cell += insn_.modrm >= 0xc0 ? 8 + (insn_.modrm & 63) : reg;
    }
    const uint16_t found = tables_.cells[cell];
    if (!found) return false;
    insn_.row = static_cast<uint16_t>(found - 1);
    row_ = &tables_.rows[insn_.row];
    insn_.mnemonic = row_->mnemonic;
    return true;
  }

  unsigned mandatory_prefix() const {
    if (map_ >= OpcodeMap::kVex0F) return vex_prefix_;
    if (insn_.prefixes & prefix::kRep) return 2;
    if (insn_.prefixes & prefix::kRepne) return 3;
    return insn_.prefixes & prefix::kOperandSize ? 1 : 0;
  }

  /// Register numbers that do not exist, and the rules about ModRM that only some rows have.
  bool check_modrm() {
    const uint16_t checks = row_->checks;
    if (checks & decode_check::kModIgnored) insn_.modrm |= 0xc0;
    if (checks & decode_check::kNoRexR) insn_.rex &= ~4 & 15;
    if ((checks & decode_check::kNoRexB) && insn_.modrm >= 0xc0) insn_.rex &= ~1 & 15;
    insn_.set_register_numbers();
    const unsigned reg = insn_.reg();
    if ((checks & decode_check::kSreg) && reg > 5) return false;
    if ((checks & decode_check::kSregWritten) && reg == static_cast<unsigned>(SegReg::kCs)) return false;
    constexpr unsigned kControlRegisters = 0b1'0001'1101;
    if ((checks & decode_check::kCreg) && !((kControlRegisters >> reg) & 1)) return false;
    if ((checks & decode_check::kDreg) && reg > 7) return false;
    return true;
  }

  void set_address_size() {
    constexpr uint8_t kAddressSize[3][2] = {{2, 4}, {4, 2}, {8, 4}};
    insn_.address_size =
        kAddressSize[static_cast<unsigned>(code_size_)][(insn_.prefixes & prefix::kAddressSize) != 0];
  }

  void set_operand_size(uint8_t rule) {
    const unsigned w = (insn_.rex >> 2) & 2;
    const unsigned prefix66 = insn_.prefixes & prefix::kOperandSize ? 1 : 0;
    if (map_ >= OpcodeMap::kVex0F) {
      insn_.operand_size = mode64_ && w ? 8 : 4;
    } else {
      insn_.operand_size = kOperandSize[rule][static_cast<unsigned>(code_size_) * 4 + w + prefix66];
    }
  }

  void read_memory_operand() {
    if (insn_.address_size == 2) {
      read_memory_operand16();
      return;
    }
    const unsigned mod = insn_.modrm >> 6;
    const uint8_t rm = insn_.modrm & 7;
    uint8_t base = rm;
    insn_.base = rm | static_cast<uint8_t>((insn_.rex & 1) << 3);
    if (rm == 4) {
      const uint8_t sib = *at_++;
      base = sib & 7;
      insn_.base = base | static_cast<uint8_t>((insn_.rex & 1) << 3);
      insn_.scale = sib >> 6;
      insn_.index = ((sib >> 3) & 7) | static_cast<uint8_t>((insn_.rex & 2) << 2);
      if (insn_.index == 4 && !(row_ && row_->checks & decode_check::kVsib)) insn_.index = kNoRegister;
    }
    if (mod == 0 && base == 5) {
      insn_.base = mode64_ && rm == 5 ? kRipRegister : kNoRegister;
      read_displacement(4);
    } else {
      stack_base_ = (insn_.base & ~1) == 4;  // rSP, rBP
      if (mod) read_displacement(mod == 1 ? 1 : 4);
    }
  }

  void read_memory_operand16() {
    const unsigned mod = insn_.modrm >> 6;
    const unsigned rm = insn_.modrm & 7;
    insn_.index = kIndex16[rm];
    if (mod == 0 && rm == 6) {
      insn_.base = kNoRegister;
      read_displacement(2);
    } else {
      insn_.base = kBase16[rm];
      stack_base_ = insn_.base == kBp;
      if (mod) read_displacement(mod == 1 ? 1 : 2);
    }
  }

  void read_displacement(uint8_t size) {
    insn_.disp_size = size;
    insn_.disp = size == 1 ? load<int8_t>(at_) : size == 2 ? load<int16_t>(at_) : load<int32_t>(at_);
    at_ += size;
  }

  void read_immediate(ImmKind kind) {
    const uint8_t size = insn_.operand_size;
    switch (kind) {
      case ImmKind::kNone:
        break;
      case ImmKind::kIb:
        set_imm(1, *at_);
        break;
      case ImmKind::kIbs:
        set_imm(1, static_cast<uint64_t>(int64_t{load<int8_t>(at_)}));
        break;
      case ImmKind::kIw:
        set_imm(2, load<uint16_t>(at_));
        break;
      case ImmKind::kIz:
        if (size == 2) {
          set_imm(2, static_cast<uint64_t>(int64_t{load<int16_t>(at_)}));
        } else {
          set_imm(4, static_cast<uint64_t>(int64_t{load<int32_t>(at_)}));
        }
        break;
      case ImmKind::kIv:
        set_imm(size, size == 2   ? load<uint16_t>(at_)
                      : size == 4 ? load<uint32_t>(at_)
                                  : load<uint64_t>(at_));
        break;
      case ImmKind::kAp:
        if (size == 2) {
          set_imm(4, load<uint16_t>(at_) | uint64_t{load<uint16_t>(at_ + 2)} << 32);
        } else {
          set_imm(6, load<uint32_t>(at_) | uint64_t{load<uint16_t>(at_ + 4)} << 32);
        }
        break;
      case ImmKind::kO:
        read_moffs();
        break;
      case ImmKind::kIwIb:
        set_imm(2, load<uint16_t>(at_));
        insn_.imm2 = *at_++;
        break;
      case ImmKind::kIbIb:
        set_imm(1, *at_);
        insn_.imm2 = *at_++;
        break;
    }
  }

  void set_imm(uint8_t size, uint64_t value) {
    insn_.imm_size = size;
    insn_.imm = value;
    at_ += size;
  }

  void read_moffs() {
    const uint8_t size = insn_.address_size;
    insn_.disp_size = size;
    insn_.disp = size == 2   ? int64_t{load<uint16_t>(at_)}
                 : size == 4 ? int64_t{load<uint32_t>(at_)}
                             : load<int64_t>(at_);
    at_ += size;
  }

  bool lock_allowed() const {
    return (row_->checks & decode_check::kLock) && insn_.modrm < 0xc0 && entry_->has_modrm;
  }

  bool check_vex() const {
    constexpr uint8_t kNotWithVex =
        prefix::kLock | prefix::kRep | prefix::kRepne | prefix::kOperandSize | prefix::kRex;
    return (insn_.prefixes & kNotWithVex) == 0 &&
           (insn_.vex_vvvv == 0 || (row_->checks & decode_check::kVvvvUsed));
  }

  /// Gathers need a SIB byte, and three registers that differ.
  bool check_vsib() const {
    const uint8_t destination = insn_.reg();
    return insn_.address_size != 2 && (insn_.modrm & 7) == 4 && destination != insn_.index &&
           destination != insn_.vex_vvvv && insn_.index != insn_.vex_vvvv;
  }

  const DecodeTables& tables_ = tables();
  const uint8_t* const start_;
  const uint8_t* at_;
  const size_t available_;
  const bool mode64_;
  const CodeSize code_size_;
  Insn& insn_;

  OpcodeMap map_ = OpcodeMap::k1;
  uint8_t vex_prefix_ = 0;
  bool segment_overridden_ = false;
  bool stack_base_ = false;  ///< the memory operand's default segment is SS
  const OpcodeEntry* entry_ = nullptr;
  const DecodeRow* row_ = nullptr;
};

}  // namespace

DecodeStatus decode(std::span<const uint8_t> bytes, CodeSize code_size, Insn& out) {
  const size_t available = std::min<size_t>(bytes.size(), kMaxInsnLength);
  if (bytes.size() >= kReadAhead) return Decoder(bytes.data(), available, code_size, out).run();
  uint8_t padded[kReadAhead] = {};
  if (available) std::memcpy(padded, bytes.data(), available);
  return Decoder(padded, available, code_size, out).run();
}

bool downgrade(Insn& insn) {
  const InsnRow& prefixed = row(insn);
  if (!prefixed.has(attribute::kElseUnprefixed)) return false;
  // The first row of the same opcode that allows the prefix without demanding it.
  const std::span<const InsnRow> all = rows();
  for (size_t i = 0; i < all.size(); i++) {
    const Encoding& encoding = all[i].encoding;
    if (encoding.map == prefixed.encoding.map && encoding.opcode == prefixed.encoding.opcode &&
        encoding.prefixes == 15 && encoding.allows_modrm(insn.modrm)) {
      insn.row = static_cast<uint16_t>(i);
      insn.mnemonic = all[i].mnemonic;
      return true;
    }
  }
  return false;
}

std::string find_table_conflict() {
  return tables().conflict;
}

}  // namespace vireo::isa
