#include "tests/isa/prefixes.h"

#include <fmt/format.h>

namespace vireo::isa {

Prefixes::Prefixes(std::span<const uint8_t> bytes, CodeSize code_size) {
  const bool mode64 = code_size == CodeSize::k64;
  for (; count < bytes.size(); count++) {
    const uint8_t byte = bytes[count];
    if (mode64 && byte >= 0x40 && byte < 0x50) {
      rex = byte;
      continue;
    }
    if (byte == 0xf0) {
      lock = true;
    } else if (byte == 0xf2 || byte == 0xf3) {
      repeat = byte;
    } else if (byte == 0x66) {
      size66 = true;
    } else if (byte == 0x67) {
      size67 = true;
    } else if ((byte & 0xe7) == 0x26 || byte == 0x64 || byte == 0x65) {
      if (!mode64 || byte >= 0x64) segment = byte;
    } else {
      break;
    }
    rex = 0;
  }
}

std::string Prefixes::text() const {
  std::string text;
  const auto add = [&](bool present, std::string_view name) {
    if (present) text += (text.empty() ? "" : "+") + std::string(name);
  };
  add(lock, "LOCK");
  add(repeat == 0xf2, "F2");
  add(repeat == 0xf3, "F3");
  add(size66, "66");
  add(size67, "67");
  add(segment, "SEG");
  add(rex, fmt::format("REX.{}{}{}{}", rex & 8 ? "W" : "", rex & 4 ? "R" : "", rex & 2 ? "X" : "",
                       rex & 1 ? "B" : ""));
  return text.empty() ? "-" : text;
}

std::vector<uint8_t> Prefixes::canonical() const {
  std::vector<uint8_t> bytes;
  for (uint8_t byte : {segment, size67 ? uint8_t{0x67} : uint8_t{0}, lock ? uint8_t{0xf0} : uint8_t{0},
                       size66 ? uint8_t{0x66} : uint8_t{0}, repeat, rex}) {
    if (byte) bytes.push_back(byte);
  }
  return bytes;
}

std::string opcode_text(std::span<const uint8_t> bytes, CodeSize code_size) {
  const auto at = [&](size_t n) { return n < bytes.size() ? bytes[n] : uint8_t{0}; };
  std::string map = "1";
  size_t i = 0;
  if ((at(0) == 0xc4 || at(0) == 0xc5) && (code_size == CodeSize::k64 || at(1) >= 0xc0)) {
    const bool long_form = at(0) == 0xc4;
    const uint8_t last = at(long_form ? 2 : 1);
    map = fmt::format("VEX{}.{}.L{}.W{}", long_form ? at(1) & 31 : 1, last & 3, (last >> 2) & 1,
                      long_form ? last >> 7 : 0);
    i = long_form ? 3 : 2;
  } else if (at(0) == 0x0f) {
    i = 1;
    map = "0F";
    if (at(1) == 0x38 || at(1) == 0x3a) map = fmt::format("0F{:02X}", at(i++));
  }
  const uint8_t modrm = at(i + 1);
  return fmt::format("{}:{:02X}/{}{}{}", map, at(i), (modrm >> 3) & 7, modrm >= 0xc0 ? "r" : "m",
                     modrm >= 0xc0 ? modrm & 7 : 0);
}

}  // namespace vireo::isa
