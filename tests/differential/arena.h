// The linear address space in which both sides of the differential test run: sixteen pages within one 64 KiB
// segment, one page below 4 GiB, and the descriptors that make segments of them. Both NativeCpu and InterpCpu
// build exactly this.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace vireo::diff {

/// First linear address; the arena fills one 64 KiB segment.
inline constexpr uint32_t kArena = 0x20000000;
inline constexpr uint32_t kPage = 4096;
inline constexpr uint32_t kArenaPages = 16;
/// The page below 4 GiB; accesses that run over its end wrap to linear address 0, where nothing is.
inline constexpr uint32_t kTopPage = 0xfffff000;
/// Arena pages, then the top page.
inline constexpr uint32_t kPages = kArenaPages + 1;
inline constexpr uint32_t kMemoryBytes = kPages * kPage;

enum class Rights : uint8_t { kNone, kRead, kReadWrite, kReadExecute };

/// What user-mode code may do with each page.
inline constexpr std::array<Rights, kPages> kPageRights = {
    Rights::kNone,         // 0x0000: below the code
    Rights::kReadExecute,  // 0x1000: code
    Rights::kReadExecute,  // 0x2000: code
    Rights::kNone,         // 0x3000: instructions that cross into it fault
    Rights::kReadWrite,    // 0x4000
    Rights::kReadWrite,    // 0x5000
    Rights::kRead,         // 0x6000: stores that cross into it fault
    Rights::kReadWrite,    // 0x7000
    Rights::kNone,         // 0x8000
    Rights::kReadWrite,    // 0x9000: stack
    Rights::kReadWrite,    // 0xa000: stack
    Rights::kNone,         // 0xb000
    Rights::kNone,         // 0xc000
    Rights::kRead,         // 0xd000
    Rights::kReadWrite,    // 0xe000
    Rights::kReadWrite,    // 0xf000: to the end of a 16-bit segment
    Rights::kReadWrite,    // below 4 GiB
};

constexpr uint32_t page_address(uint32_t page) {
  return page < kArenaPages ? kArena + page * kPage : kTopPage;
}

/// The page that holds a linear address, or kPages if none does.
constexpr uint32_t page_of(uint32_t linear) {
  if (linear >= kTopPage) return kArenaPages;
  return linear - kArena < kArenaPages * kPage ? (linear - kArena) / kPage : kPages;
}

/// The code pages hold this everywhere but at the instruction: INT3, which ends a native run.
inline constexpr uint8_t kTrapByte = 0xcc;
inline constexpr uint32_t kCodeBegin = kArena + 0x1000;
inline constexpr uint32_t kCodeEnd = kArena + 0x3000;

/// A segment descriptor as modify_ldt(2) takes it. All have DPL 3 and the accessed bit.
struct LdtEntry {
  uint32_t base;
  uint32_t limit;    ///< 20 bits
  bool big;          ///< D/B
  uint8_t contents;  ///< 0 data, 1 expand-down, 2 code, 3 conforming code
  bool read_or_execute_only;
  bool pages;  ///< G
  bool present;
  bool available;  ///< AVL

  /// The eight bytes in the table.
  constexpr uint64_t descriptor() const {
    const uint64_t type = contents << 2 | (read_or_execute_only ? 0u : 2u) | 1u;
    const uint64_t access = type | 0x70 | (present ? 0x80u : 0u);
    const uint64_t flags = (available ? 1u : 0u) | (big ? 4u : 0u) | (pages ? 8u : 0u);
    return (limit & 0xffff) | uint64_t{base & 0xffffff} << 16 | access << 40 |
           uint64_t{(limit >> 16) & 15} << 48 | flags << 52 | uint64_t{base >> 24} << 56;
  }
  /// Limit in bytes.
  constexpr uint32_t byte_limit() const { return pages ? limit << 12 | 0xfff : limit; }
};

/// Indices into kLdt.
enum LdtIndex : uint16_t {
  kLdtCode16 = 1,
  kLdtCode32,
  kLdtCode32Flat,
  kLdtCodeExecuteOnly,
  kLdtCodeNotPresent,
  kLdtConformingNotPresent,
  kLdtData16,
  kLdtData32,
  kLdtDataFlat,
  kLdtDataReadOnly,
  kLdtExpandDown16,
  kLdtExpandDown32,
  kLdtDataNotPresent,
  kLdtDataOdd,
  kLdtDataSmall,
  kLdtExpandDownReadOnly,
  kLdtCode16Small,
  kLdtCode16High,
  kLdtCount,
};

inline constexpr std::array<LdtEntry, kLdtCount> kLdt = {{
    {0, 0, false, 0, true, false, false, false},  // left empty
    {kArena, 0xffff, false, 2, false, false, true, false},
    {kArena, 0xffff, true, 2, false, false, true, true},
    {0, 0xfffff, true, 2, false, true, true, false},
    {kArena, 0xffff, true, 2, true, false, true, false},
    {kArena, 0xffff, true, 2, false, false, false, false},
    {kArena, 0xffff, true, 3, false, false, false, false},
    {kArena, 0xffff, false, 0, false, false, true, false},
    {kArena, 0xffff, true, 0, false, false, true, true},
    {0, 0xfffff, true, 0, false, true, true, false},
    {kArena, 0xffff, true, 0, true, false, true, false},
    {kArena, 0x3fff, false, 1, false, false, true, false},
    {kArena, 0x00003, true, 1, false, true, true, false},
    {kArena, 0xffff, true, 0, false, false, false, false},
    {kArena + 0x123, 0xfedc, false, 0, false, false, true, false},
    {kArena, 0x4fff, true, 0, false, false, true, false},
    {kArena, 0x3fff, true, 1, true, false, true, false},
    {kArena, 0x2fff, false, 2, false, false, true, false},
    {kCodeEnd - 0x10000, 0xffff, false, 2, false, false, true, false},  // code at the very end
}};

constexpr uint16_t ldt_selector(uint16_t index, uint16_t rpl = 3) {
  return static_cast<uint16_t>(index << 3 | 4 | rpl);
}

/// Linux's flat user segments in the GDT: 32-bit code, data, and the 64-bit code segment of this process.
inline constexpr uint16_t kUserCode32 = 0x23;
inline constexpr uint16_t kUserData = 0x2b;
inline constexpr uint16_t kUserCode64 = 0x33;
/// Linux keeps the CPU number in this segment's limit.
inline constexpr uint16_t kCpuNumber = 0x7b;

}  // namespace vireo::diff
