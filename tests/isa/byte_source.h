// Strings of bytes to decode: random ones, and encodings of a given row.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <random>

#include "core/isa/insn_row.h"

namespace vireo::isa {

using InsnBytes = std::array<uint8_t, 32>;

class ByteSource {
 public:
  explicit ByteSource(uint64_t seed) : random_(seed) {}

  /// Half of the strings are uniformly random; the others start like instructions: prefixes, an opcode map,
  /// VEX.
  InsnBytes random_bytes(CodeSize code_size);

  /// A string that the row covers, with random prefixes, operands and what follows; nothing if the row is not
  /// for this code size.
  std::optional<InsnBytes> encoding_of(const InsnRow& row, CodeSize code_size);

 private:
  bool one_in(unsigned n) { return random_() % n == 0; }
  uint8_t byte() { return static_cast<uint8_t>(random_() >> 24); }
  void fill(InsnBytes& bytes);

  std::mt19937_64 random_;
};

}  // namespace vireo::isa
