// Makes bytes of a row of the instruction table: every allowed opcode, ModRM, SIB, displacement, prefix.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/isa/insn_row.h"
#include "tests/differential/rng.h"

namespace vireo::diff {

struct EncodedInsn {
  std::vector<uint8_t> bytes;
  isa::Insn insn;               ///< as our decoder sees it; valid if `decoded`
  bool decoded = false;         ///< false: an invalid form, which must raise an exception on both sides
  uint8_t displacement_at = 0;  ///< offset in `bytes` of moffs, or behind another displacement
  uint8_t immediate_at = 0;     ///< offset of the first immediate
};

/// SLDT, STR, SMSW: under UMIP the host's kernel emulates them, but neither behind many prefixes nor with TF
/// set.
bool emulated_by_linux(const isa::InsnRow& row);

/// Nothing if the row cannot be had in this kind of code, or the chosen bytes are another row's (F3 90 is
/// PAUSE).
std::optional<EncodedInsn> encode_row(Rng& rng, const isa::InsnRow& row, isa::CodeSize code_size);

}  // namespace vireo::diff
