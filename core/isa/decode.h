// The decoder: bytes to Insn, through tables that are built from insn_table.inc at start-up.
// Source: SDM 2A chapter 2.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/isa/insn.h"

namespace vireo::isa {

enum class DecodeStatus : uint8_t {
  kOk,
  kNeedMoreBytes,  ///< it goes on after `bytes` (fewer than 15)
  kUndefined,      ///< #UD: no such encoding, LOCK where it may not be, a register that does not exist
  kTooLong,        ///< more than 15 bytes: #GP(0)
};

inline constexpr unsigned kMaxInsnLength = 15;

/// Decodes the instruction at bytes[0]. Bytes past the instruction are not looked at, but the decoder is
/// fastest with at least 32. `out` is valid only with kOk. Whether the CPU offers row(out).feature is for the
/// caller to test.
DecodeStatus decode(std::span<const uint8_t> bytes, CodeSize code_size, Insn& out);

/// For a CPU without the row's feature: true if such a CPU executes these bytes as another row, which `insn`
/// then is (TZCNT as BSF); false if it raises #UD.
bool downgrade(Insn& insn);

/// Describes the first two rows that claim the same encoding with neither being a special case of the other,
/// or that contradict each other otherwise; empty if insn_table.inc is consistent. A unit test asserts that
/// it is.
std::string find_table_conflict();

}  // namespace vireo::isa
