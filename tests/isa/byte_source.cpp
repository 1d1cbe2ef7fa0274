#include "tests/isa/byte_source.h"

#include <cstring>

namespace vireo::isa {
namespace {

constexpr uint8_t kPrefixes[] = {0x66, 0x66, 0xf3, 0xf2, 0x67, 0xf0, 0x2e, 0x64, 0x3e};

/// Appends bytes to an InsnBytes that already holds random ones.
class Writer {
 public:
  explicit Writer(InsnBytes& bytes) : bytes_(bytes) {}
  void put(unsigned byte) { bytes_[at_++] = static_cast<uint8_t>(byte); }
  uint8_t& next() { return bytes_[at_]; }
  void skip() { at_++; }

 private:
  InsnBytes& bytes_;
  size_t at_ = 0;
};

}  // namespace

void ByteSource::fill(InsnBytes& bytes) {
  for (size_t i = 0; i < bytes.size(); i += 8) {
    const uint64_t word = random_();
    std::memcpy(&bytes[i], &word, sizeof word);
  }
}

InsnBytes ByteSource::random_bytes(CodeSize code_size) {
  InsnBytes bytes;
  fill(bytes);
  const uint64_t choice = random_();
  if (choice & 1) return bytes;
  Writer out(bytes);
  for (unsigned n = (choice >> 1) & 3; n > 1; n--) out.put(kPrefixes[random_() % std::size(kPrefixes)]);
  if (code_size == CodeSize::k64 && (choice >> 3) % 3 == 0) out.put(0x40 | (byte() & 15));
  switch ((choice >> 8) % 8) {
    case 0:
    case 1:
    case 2:
      out.put(0x0f);
      break;
    case 3:
      out.put(0x0f);
      out.put((choice >> 16) & 1 ? 0x38 : 0x3a);
      break;
    case 4:
      out.put(0xc5);
      if (code_size != CodeSize::k64) out.next() |= 0xc0;
      break;
    case 5:
      out.put(0xc4);
      out.next() = static_cast<uint8_t>((out.next() & 0xe0) | ((choice >> 16) % 4));
      if (code_size != CodeSize::k64) out.next() |= 0xc0;
      break;
    case 6:  // EVEX and XOP, which a CPU without AVX-512 takes for BOUND and POP
      out.put((choice >> 16) & 1 ? 0x62 : 0x8f);
      out.next() =
          static_cast<uint8_t>((out.next() & 0xf0) | ((choice >> 16) & 1 ? 1 + (choice >> 17) % 3 : 8));
      if (code_size != CodeSize::k64) out.next() |= 0xc0;
      break;
    default:
      break;
  }
  return bytes;
}

std::optional<InsnBytes> ByteSource::encoding_of(const InsnRow& row, CodeSize code_size) {
  const Encoding& e = row.encoding;
  const bool mode64 = code_size == CodeSize::k64;
  if (!((e.modes >> (mode64 ? 1 : 0)) & 1)) return {};
  InsnBytes bytes;
  fill(bytes);
  Writer out(bytes);
  unsigned prefix;  // the mandatory one: 0 none, 1: 66, 2: F3, 3: F2
  do prefix = random_() % 4;
  while (!((e.prefixes >> prefix) & 1));
  const bool vsib = row.has(attribute::kVsib);  // needs a SIB byte, which 16-bit addressing does not have
  if (vsib ? code_size == CodeSize::k16 : one_in(4)) out.put(0x67);
  if (one_in(4)) out.put(one_in(2) ? 0x65 : 0x2e);
  const unsigned w = e.w == 2 || (e.w == 3 && one_in(3)), l = e.l == 2 || (e.l == 3 && one_in(2));
  const unsigned b = e.b == 2 || (e.b == 3 && one_in(3));
  const unsigned opcode = e.opcode + random_() % e.opcode_count;
  if (e.vex()) {
    const unsigned map = 1 + static_cast<unsigned>(e.map) - static_cast<unsigned>(OpcodeMap::kVex0F);
    bool uses_vvvv = false;
    for (const Operand& o : row.operands) uses_vvvv |= o.kind == OperandKind::kH || o.kind == OperandKind::kB;
    const unsigned vvvv = uses_vvvv ? (mode64 ? byte() & 15 : 8 | (byte() & 7)) : 15;
    const unsigned rxb = mode64 ? (byte() & 0xc0u) | (b ? 0 : 0x20) : 0xe0;
    out.put(0xc4);
    out.put(rxb | map);
    out.put(w << 7 | vvvv << 3 | l << 2 | prefix);
    out.put(opcode);
  } else {
    constexpr uint8_t kBytes[] = {0, 0x66, 0xf3, 0xf2};
    if (prefix > 1 && e.mandatory && one_in(4)) out.put(0x66);
    if (prefix) out.put(kBytes[prefix]);
    if (mode64 && (w || b || one_in(3))) out.put(0x40u | w << 3 | (byte() & 6u) | b);
    if (e.map != OpcodeMap::k1) out.put(0x0f);
    if (e.map == OpcodeMap::k0F38) out.put(0x38);
    if (e.map == OpcodeMap::k0F3A) out.put(0x3a);
    out.put(e.map == OpcodeMap::k3dnow ? 0x0f : opcode);
  }
  if (!e.has_modrm) return bytes;
  while (!e.allows_modrm(out.next()) || (vsib && (out.next() & 7) != 4)) out.next() = byte();
  if (e.map == OpcodeMap::k3dnow) {  // the suffix comes where the simplest operand ends
    out.next() |= 0xc0;
    out.skip();
    out.put(opcode);
  }
  return bytes;
}

}  // namespace vireo::isa
