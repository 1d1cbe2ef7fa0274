#include "tests/differential/encoding_generator.h"

#include <algorithm>
#include <array>

#include "core/isa/decode.h"
#include "tests/differential/values.h"

namespace vireo::diff {
namespace {

using isa::CodeSize;
using isa::Encoding;
using isa::InsnRow;
using isa::OpcodeMap;
using isa::OperandKind;
using isa::OperandType;
namespace attribute = isa::attribute;

constexpr std::array<uint8_t, 6> kSegmentPrefixes = {0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65};

bool addresses_memory(const InsnRow& row) {
  for (unsigned i = 0; i < row.operand_count; i++) {
    const OperandKind kind = row.operands[i].kind;
    if (kind == OperandKind::kX || kind == OperandKind::kY || kind == OperandKind::kO) return true;
  }
  return row.has(attribute::kImplicitMemory);
}

struct Prefixes {
  bool operand_size = false;
  bool address_size = false;
  uint8_t rep = 0;
  bool lock = false;
  uint8_t segment = 0;
  unsigned padding = 0;  ///< more segment prefixes, to make it long
};

/// Bits of Encoding::prefixes.
constexpr unsigned kNone = 1, k66 = 2, kF3 = 4, kF2 = 8;

Prefixes choose_prefixes(Rng& rng, const InsnRow& row, bool memory_form) {
  const Encoding& e = row.encoding;
  Prefixes p;
  const bool string = row.has(attribute::kRep | attribute::kRepWhile);
  if (!(e.prefixes & kNone)) {
    // A mandatory prefix.
    if (e.prefixes & kF3)
      p.rep = 0xf3;
    else if (e.prefixes & kF2)
      p.rep = 0xf2;
    p.operand_size = e.prefixes & k66 && (!p.rep || rng.chance(20));
    if (p.rep && !(e.prefixes & k66)) p.operand_size = rng.chance(10);
  } else {
    if (e.prefixes & k66) p.operand_size = rng.chance(35);
    if (string ? rng.chance(60) : rng.chance(2)) {
      if (e.prefixes & kF3 && rng.chance(50))
        p.rep = 0xf3;
      else if (e.prefixes & kF2)
        p.rep = 0xf2;
    }
  }
  p.address_size = rng.chance(memory_form ? 25 : 8);
  if (row.has(attribute::kLock) && memory_form)
    p.lock = rng.chance(20);
  else
    p.lock = rng.chance(1);
  if (rng.chance(memory_form ? 25 : 3)) p.segment = rng.pick(kSegmentPrefixes);
  // Whether #UD or the length comes first is not architectural.
  const bool may_be_long = row.support != isa::Support::kDecodeOnly && !emulated_by_linux(row);
  if (may_be_long && rng.chance(1)) p.padding = rng.below(14);
  return p;
}

void put(std::vector<uint8_t>& bytes, uint64_t value, unsigned size) {
  for (unsigned i = 0; i < size; i++) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t displacement(Rng& rng, unsigned size) {
  if (size == 1) return rng.byte();
  return rng.chance(60) ? static_cast<uint64_t>(static_cast<int64_t>(rng.below(0x200)) - 0x100)
                        : random_integer(rng, size);
}

/// SIB and displacement of a memory operand.
void put_address(Rng& rng, std::vector<uint8_t>& bytes, uint8_t modrm, unsigned address_size) {
  const unsigned mod = modrm >> 6, rm = modrm & 7;
  unsigned size = mod == 1 ? 1 : mod == 2 ? address_size : 0;
  if (address_size == 2) {
    if (mod == 0 && rm == 6) size = 2;
  } else {
    if (rm == 4) {
      const uint8_t sib = rng.byte();
      bytes.push_back(sib);
      if (mod == 0 && (sib & 7) == 5) size = 4;
    } else if (mod == 0 && rm == 5) {
      size = 4;
    }
  }
  put(bytes, displacement(rng, size), size);
}

unsigned immediate_bytes(const isa::Operand& operand, unsigned operand_size) {
  if (operand.kind == OperandKind::kA) return operand_size + 2;
  if (operand.kind != OperandKind::kI && operand.kind != OperandKind::kJ && operand.kind != OperandKind::kL)
    return 0;
  switch (operand.type) {
    case OperandType::kW:
      return 2;
    case OperandType::kV:
    case OperandType::kZ:
      return operand_size;
    case OperandType::kD:
      return 4;
    default:
      return 1;
  }
}

uint8_t choose_modrm(Rng& rng, const InsnRow& row, bool invalid_form) {
  const bool want_memory = rng.chance(60);
  for (unsigned tries = 0; tries < 32; tries++) {
    uint8_t modrm = rng.byte();
    if (want_memory && modrm >= 0xc0) modrm ^= static_cast<uint8_t>(0x40 << rng.below(2));
    if (invalid_form || row.encoding.allows_modrm(modrm)) return modrm;
  }
  std::array<uint8_t, 256> allowed;
  unsigned count = 0;
  for (unsigned modrm = 0; modrm < 256; modrm++) {
    if (row.encoding.allows_modrm(static_cast<uint8_t>(modrm)))
      allowed[count++] = static_cast<uint8_t>(modrm);
  }
  return allowed[rng.below(count)];
}

void put_opcode(Rng& rng, std::vector<uint8_t>& bytes, const Encoding& e) {
  switch (e.map) {
    case OpcodeMap::k0F:
      bytes.push_back(0x0f);
      break;
    case OpcodeMap::k0F38:
      put(bytes, 0x380f, 2);
      break;
    case OpcodeMap::k0F3A:
      put(bytes, 0x3a0f, 2);
      break;
    case OpcodeMap::k3dnow:
      put(bytes, 0x0f0f, 2);
      return;  // its opcode stands behind the operands
    default:
      break;
  }
  bytes.push_back(static_cast<uint8_t>(e.opcode + rng.below(e.opcode_count)));
}

}  // namespace

bool emulated_by_linux(const InsnRow& row) {
  return row.mnemonic == isa::Mnemonic::SLDT || row.mnemonic == isa::Mnemonic::STR ||
         row.mnemonic == isa::Mnemonic::SMSW;
}

std::optional<EncodedInsn> encode_row(Rng& rng, const InsnRow& row, CodeSize code_size) {
  const Encoding& e = row.encoding;
  constexpr unsigned kLegacyModes = 1;
  if (!(e.modes & kLegacyModes) || e.vex() || !(e.w & 1) || !(e.b & 1)) return {};

  // Register forms where only memory is allowed raise #UD, but in the two-byte maps other instructions live
  // there, and C4, C5 and 62 are VEX and EVEX.
  const bool invalid_form = e.has_modrm && e.map == OpcodeMap::k1 && e.opcode != 0xc4 && e.opcode != 0xc5 &&
                            e.opcode != 0x62 && rng.chance(1);
  const uint8_t modrm = e.has_modrm ? choose_modrm(rng, row, invalid_form) : 0;
  const bool memory_form = e.has_modrm ? modrm < 0xc0 : addresses_memory(row);
  const Prefixes p = choose_prefixes(rng, row, memory_form);
  const bool wide = code_size == CodeSize::k32;
  const unsigned operand_size = wide != p.operand_size ? 4 : 2;
  const unsigned address_size = wide != p.address_size ? 4 : 2;

  EncodedInsn out;
  std::vector<uint8_t>& bytes = out.bytes;
  if (p.lock) bytes.push_back(0xf0);
  if (p.operand_size) bytes.push_back(0x66);
  if (p.rep) bytes.push_back(p.rep);
  if (p.address_size) bytes.push_back(0x67);
  for (unsigned i = 0; i < p.padding; i++) bytes.push_back(rng.pick(kSegmentPrefixes));
  if (p.segment) bytes.push_back(p.segment);
  if (rng.chance(30)) {
    for (size_t i = bytes.size(); i > 1; i--)
      std::swap(bytes[i - 1], bytes[rng.below(static_cast<uint32_t>(i))]);
  }
  put_opcode(rng, bytes, e);
  if (e.has_modrm) {
    bytes.push_back(modrm);
    if (memory_form && !row.has(attribute::kModIgnored)) put_address(rng, bytes, modrm, address_size);
  }
  out.displacement_at = static_cast<uint8_t>(bytes.size());
  if (e.map == OpcodeMap::k3dnow) bytes.push_back(e.opcode);
  for (unsigned i = 0; i < row.operand_count; i++) {
    if (row.operands[i].kind == OperandKind::kO) put(bytes, random_integer(rng, address_size), address_size);
  }
  out.immediate_at = static_cast<uint8_t>(bytes.size());
  for (unsigned i = 0; i < row.operand_count; i++) {
    const unsigned size = immediate_bytes(row.operands[i], operand_size);
    if (size) put(bytes, size <= 4 ? random_integer(rng, size) : rng.next(), size);
  }

  // The decoder may look at more than the instruction.
  std::array<uint8_t, 64> window;
  window.fill(0x90);
  std::copy(bytes.begin(), bytes.end(), window.begin());
  const isa::DecodeStatus status = isa::decode(window, code_size, out.insn);
  out.decoded =
      status == isa::DecodeStatus::kOk && out.insn.length == bytes.size() && &isa::row(out.insn) == &row;
  // What we refuse (no such register, LOCK where it may not be, 16 bytes) the host must refuse too. Bytes
  // that are another row's are that row's business.
  if (!out.decoded && status == isa::DecodeStatus::kOk) return {};
  return out;
}

}  // namespace vireo::diff
