// Rewrites an instruction of flat 32-bit code for 64-bit code, where it then does the same to the low halves
// of the registers and to memory below 4 GiB; as few bytes as possible change. Source: SDM 2A 2.2.1 (REX,
// RIP-relative addressing, moffs); what else differs is in the attributes of the table's rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/isa/insn_row.h"
#include "tests/differential/left_out.h"

namespace vireo::diff {

inline constexpr uint8_t kAddressSizePrefix = 0x67;

struct Rewritten {
  LeftOut left_out = LeftOut::kNot;
  std::vector<uint8_t> bytes;  ///< empty if left out
};

/// `insn`: how the decoder sees `bytes` in 32-bit code. The result may be longer: relative branches count
/// from the end, as before.
Rewritten rewrite_for_long_mode(const isa::InsnRow& row, const isa::Insn& insn,
                                std::span<const uint8_t> bytes);

/// The instruction reads or writes memory, or computes an address, by its ModRM byte.
bool has_modrm_memory(const isa::InsnRow& row, const isa::Insn& insn);

}  // namespace vireo::diff
