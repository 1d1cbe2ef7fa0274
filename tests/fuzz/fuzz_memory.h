// What guest memory holds at the start of each case: descriptor tables, page tables, handlers, data.
#pragma once

#include <cstdint>
#include <vector>

namespace vireo::fuzz {

// Guest-physical layout. Linear addresses are the same, with paging on, too.
inline constexpr uint32_t kRamEnd = 0x60000;  // nothing behind it
inline constexpr uint32_t kMmio = 0xe0000, kMmioBytes = 0x2000;
inline constexpr uint32_t kRom = 0xf0000, kRomBytes = 0x10000;

inline constexpr uint32_t kIvtHalting = 0, kIvtResuming = 0xc000;
inline constexpr uint32_t kGdt = 0x1000, kLdt = 0x1800, kIdtHalting = 0x2000, kIdtResuming = 0x2800;
inline constexpr uint32_t kTss = 0x3000, kTssLimit = 0x2087, kOtherTss = 0xd000;
inline constexpr uint32_t kDirectory = 0x6000, kPaePointers = 0x8000;
/// 64 KiB of code, data and stack; the base of 16-bit segments.
inline constexpr uint32_t kArena = 0x10000, kArenaBytes = 0x10000;
inline constexpr uint32_t kRing0StackTop = 0x58000;
/// With paging on, the lowest megabytes appear here once more, as one large page.
inline constexpr uint32_t kAlias = 0x400000;

// Selectors, without RPL.
inline constexpr uint16_t kCode32 = 0x08, kData32 = 0x10, kCode16 = 0x18, kData16 = 0x20;
inline constexpr uint16_t kUserCode32 = 0x28, kUserData32 = 0x30, kTssSelector = 0x38;
inline constexpr uint16_t kUserCode16 = 0x40, kUserData16 = 0x48, kLdtSelector = 0x50;
inline constexpr uint16_t kLastSelector = 0x98;

/// RAM from 0 to kRamEnd; the arena's contents are random.
std::vector<uint8_t> initial_ram(uint64_t seed);
/// Entries of the page tables for a linear page below 2 MiB: 32-bit and PAE.
inline constexpr uint32_t page_entry_at(uint32_t page, bool pae) {
  return pae ? 0xa000 + 8 * page : 0x7000 + 4 * page;
}
/// A descriptor of the GDT.
uint64_t descriptor_of(uint16_t selector);

}  // namespace vireo::fuzz
