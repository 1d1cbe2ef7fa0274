// Raw CD-ROM sectors (2352 bytes) made from their user data.
// Source: ECMA-130, 14 (sectors), annex A (P and Q parity), annex B is the scrambling, which drives undo.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace vireo {

inline constexpr size_t kCdUserBytes = 2048;
inline constexpr size_t kCdRawBytes = 2352;

/// Minute, second, frame, in binary, of a sector; the first one is 00:02:00.
std::array<uint8_t, 3> msf_of_lba(uint32_t lba);

/// Fills `raw`, whose bytes 16 to 2063 are the user data already, with the rest of a mode 1 sector.
void finish_mode1_sector(uint32_t lba, std::span<uint8_t, kCdRawBytes> raw);

}  // namespace vireo
