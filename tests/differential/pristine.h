// What lies in the arena before each case.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vireo::diff {

/// Random bytes, but the code pages hold kTrapByte, and pages that are not there zeroes.
std::vector<uint8_t> pristine_arena(uint64_t seed);

/// Puts all but the code pages back.
void restore_data_pages(std::span<uint8_t> memory, std::span<const uint8_t> pristine);

/// Writes `bytes` at a linear address, as far as that is in data pages.
void patch_data(std::span<uint8_t> memory, uint32_t linear, std::span<const uint8_t> bytes);

}  // namespace vireo::diff
