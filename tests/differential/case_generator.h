// Makes test cases: an instruction, where it stands, registers, flags, x87/SSE state, and what lies in the
// memory that it touches.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/isa/insn_row.h"
#include "tests/differential/cpu_image.h"
#include "tests/differential/encoding_generator.h"
#include "tests/differential/rng.h"

namespace vireo::diff {

struct Patch {
  uint32_t linear;
  std::vector<uint8_t> bytes;
};

struct Case {
  EncodedInsn code;
  uint32_t code_linear = 0;
  CpuImage before;
  std::vector<Patch> patches;  ///< memory that differs from the common pattern, in order
};

enum class CaseKind : uint8_t {
  kAny,
  kFlat32,  ///< 32-bit code, all segments flat
};

/// Nothing if this row and these dice make no case (see encode_row).
std::optional<Case> generate_case(Rng& rng, const isa::InsnRow& row, CaseKind kind);

/// Base and limits of a selector that a case may start with.
uint32_t segment_base(uint16_t selector);

}  // namespace vireo::diff
