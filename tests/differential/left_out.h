// Why a native oracle does not run a case.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vireo::diff {

enum class LeftOut : uint8_t {
  kNot,  ///< it runs
  kNoSuchInsn,
  kStackWidth,
  kBranchWidth,
  kSegments,
  kFarTransfer,
  kTables,
  kMoreRegisters,
  k16BitAddress,
  kCodeSegmentStore,
  kTooLong,
  kStackWraps,
  kBranchWraps,
  kReadsCode,
  kUndefinedAtEnd,
  kNtLost,
  kRepLoop,
};

inline constexpr std::array<std::string_view, 17> kLeftOutTexts = {
    "",
    "not in 64-bit code",
    "the stack is 8 bytes wide in 64-bit code",
    "branches through memory, and with 66h, have another width in 64-bit code",
    "segment registers and descriptors",
    "far transfers",
    "system tables and registers: the host kernel's, and wider",
    "16 XMM registers in 64-bit code",
    "16-bit addressing, not in 64-bit code",
    "stores to the code segment, which 64-bit code may do",
    "rewritten it is longer than 15 bytes",
    "stack pointer about to wrap at 4 GiB",
    "branches across 4 GiB",
    "data in the code's own pages, where the rewritten instruction would be read",
    "undefined, at the end of the code's pages: whether #UD or the page comes first",
    "NT set, which the host's kernel loses on its way out of a signal handler",
    "LOOPE and LOOPNE behind F2 or F3, which AMD's CPUs take for the condition",
};

constexpr std::string_view text(LeftOut why) {
  return kLeftOutTexts[static_cast<size_t>(why)];
}

}  // namespace vireo::diff
