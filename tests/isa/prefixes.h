// Prefixes of a string of bytes, read without the decoder.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/isa/insn.h"

namespace vireo::isa {

struct Prefixes {
  Prefixes(std::span<const uint8_t> bytes, CodeSize code_size);

  /// "LOCK+F2+F3+66+67+SEG+REX.WRXB", what there is of it, or "-".
  std::string text() const;

  /// One of each in a fixed order, the mandatory ones and REX next to the opcode.
  std::vector<uint8_t> canonical() const;

  size_t count = 0;  ///< bytes of prefixes; the opcode is at this offset
  bool lock = false, size66 = false, size67 = false;
  uint8_t segment = 0, repeat = 0, rex = 0;  ///< the last of each kind, 0 for none; REX only if it counts
};

/// "map:opcode/reg and m or r and rm" of the opcode at bytes[0]; VEX's map is "VEXmap.prefix.Llength.Ww".
std::string opcode_text(std::span<const uint8_t> bytes, CodeSize code_size);

}  // namespace vireo::isa
