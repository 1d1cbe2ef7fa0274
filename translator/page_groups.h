// Memory operands of a block that one TLB probe covers: their addresses differ from each other by known
// amounts, and one test says that all of them lie in one page.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/isa/insn.h"
#include "translator/block.h"

namespace vireo::translator {

struct ScannedInsn;

/// The first instruction with an access probes, and keeps the host address of the group's lowest byte.
struct PageGroup {
  uint16_t first = 0, last = 0;  ///< instructions with its first and last access
  /// The address of the lowest byte is base + index * 2^scale + low, registers as they are before `first`.
  uint8_t base = isa::kNoRegister, index = isa::kNoRegister, scale = 0;
  int32_t low = 0;
  uint32_t bytes = 0;  ///< from the lowest to the end of the highest access
  bool writes = false;
  /// Every access is `bytes` long and has to be aligned: none crosses a page.
  bool aligned = false;
  bool in_register = false;  ///< host::kValue has the host address; else Frame::groups[slot]
  uint8_t slot = 0;

  bool constant() const { return base == isa::kNoRegister && index == isa::kNoRegister; }
};

struct GroupedAccess {
  static constexpr uint8_t kNone = 0xff;
  uint8_t group = kNone;
  uint32_t offset = 0;  ///< from the group's lowest byte
};

struct PageGroups {
  static constexpr unsigned kSlots = 8;

  std::vector<PageGroup> groups;
  /// By instruction: its operand by ModRM or moffs, and its push or pop.
  std::vector<GroupedAccess> operands, stack;
};

/// Host instructions, about. A group pays when its accesses would cost more than it does.
struct ProbeCosts {
  unsigned simple;    ///< one access at a constant address, or of a byte
  unsigned other;     ///< one access of another kind
  unsigned group;     ///< with registers
  unsigned constant;  ///< group without
};
/// Of probes that find each miss, and of probes that trust, which no group can.
inline constexpr ProbeCosts kFindingProbes{4, 4, 7, 7}, kTrustingProbes{2, 3, 8, 5};

/// Instructions whose bit in `ungrouped` is set are the interpreter's.
PageGroups find_page_groups(std::span<const ScannedInsn> insns, Mode mode, uint64_t ungrouped,
                            const ProbeCosts& costs);

/// Whether a segment has base 0 and needs no check.
bool is_flat(Mode mode, SegReg segment);

}  // namespace vireo::translator
