// Address types and units that every folder uses.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace vireo {

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kPageMask = kPageSize - 1;

/// A guest-physical address (after paging; before the A20 gate).
struct Gpa {
  uint64_t value = 0;
  constexpr auto operator<=>(const Gpa&) const = default;
  constexpr Gpa operator+(uint64_t n) const { return {value + n}; }
  constexpr Gpa operator-(uint64_t n) const { return {value - n}; }
  constexpr uint64_t operator-(Gpa other) const { return value - other.value; }
  constexpr Gpa page() const { return {value & ~kPageMask}; }
  constexpr uint64_t page_offset() const { return value & kPageMask; }
};

/// A guest-linear address (segment base added; before paging).
struct Gla {
  uint64_t value = 0;
  constexpr auto operator<=>(const Gla&) const = default;
  constexpr Gla operator+(uint64_t n) const { return {value + n}; }
  constexpr Gla operator-(uint64_t n) const { return {value - n}; }
  constexpr Gla page() const { return {value & ~kPageMask}; }
  constexpr uint64_t page_offset() const { return value & kPageMask; }
};

/// Nanoseconds of guest time since power-on.
using VirtualNs = int64_t;

inline constexpr VirtualNs kNsPerSecond = 1'000'000'000;

/// Exit statuses of `vireo` (architecture.md, "Command line").
enum class ExitStatus : int {
  kOk = 0,
  kUsage = 2,       ///< bad option or bad input file
  kHostCannot = 3,  ///< the host cannot run this (hardware required but absent)
  kGuestDied = 4,   ///< triple fault, panic device
  kTimeout = 5,
  kInternalError = 7,  ///< a bug in Vireo
};

}  // namespace vireo
