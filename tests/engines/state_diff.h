// What differs between the CPU states that two engines leave.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/cpu_state.h"

namespace vireo::testing {

struct StateDifference {
  std::string key;  ///< as in CpuState: eax, eip, eflags, cs.base, fx.st0, dr6 ...
  std::string a, b;
};

/// Everything in CpuState, `retired` included. Empty if the states are the same.
std::vector<StateDifference> compare_states(const CpuState& a, const CpuState& b);

/// The first byte that differs, with its surroundings; `base`: address of byte 0. Empty if none does.
std::vector<StateDifference> compare_ram(std::span<const uint8_t> a, std::span<const uint8_t> b,
                                         uint64_t base = 0);

/// General registers, EIP, EFLAGS and segments of both side by side, differing lines starred, then the other
/// differences.
std::string side_by_side(std::string_view a_name, const CpuState& a, std::string_view b_name,
                         const CpuState& b);

}  // namespace vireo::testing
