// A piece of guest code: first counted, then translated.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "translator/abi.h"

namespace vireo::translator {

/// What the meaning of guest code depends on beside its bytes. Two blocks of one mode may be linked.
struct Mode {
  enum : uint32_t {
    kCode32 = 1u << 0,   ///< CS.D
    kUser = 1u << 1,     ///< CPL 3
    kStack32 = 1u << 2,  ///< SS.B
    // Segment with base 0 that needs no check.
    kFlatEs = 1u << 3,
    kFlatSs = 1u << 4,
    kFlatDs = 1u << 5,
    kProtected = 1u << 6,
    kV86 = 1u << 7,
    kCpl0 = 1u << 8,
    /// Without PageGroups: where blocks go on that have found that a group of theirs is not in one accessible
    /// page. No mode of the CPU.
    kPlain = 1u << 9,
    kWindow = 1u << 10,  ///< guest memory is reached through the privilege's Window
    kTrust = 1u << 11,   ///< probes leave it to the host to notice what they cannot give
  };
  static constexpr unsigned kCodeSegmentShift = 12;  ///< above: number of the (base, limit) of CS; 0 is flat
  uint32_t bits = 0;

  bool has(uint32_t bit) const { return bits & bit; }
  Mode plain() const { return {bits | kPlain}; }
  Mode of_cpu() const { return {bits & ~uint32_t{kPlain}}; }
  /// Translated for a busy privilege of an address space.
  bool promoted() const { return (bits & (kWindow | kTrust)) != 0; }
  bool operator==(const Mode&) const = default;
};

struct Block;

/// An instruction that translated code has the interpreter execute, in the middle of a block.
struct InterpretedInsn {
  Block* block;
  interp::Handler handler;
  isa::Insn insn;
  uint32_t rip;
  uint16_t index;   ///< in the block
  bool slow_path;   ///< its fast path did not do, as opposed to: it has none
  bool one_access;  ///< before everything else that may fault it accesses memory, in one place
  int16_t counted;  ///< Block::counted_from()
};

/// A direct branch out of a block. Unlinked, it leads to a stub that leaves translated code.
struct BlockExit {
  uint32_t target_rip = 0;
  FlagState flags = FlagState::kEflags;  ///< when it is taken
  uint32_t jump = 0;                     ///< offset of the 32-bit relative operand of the jump or call
  uint32_t stub = 0;                     ///< offset of where it goes while it is not linked
  uint32_t check = 0;       ///< offset of the 32-bit operand that exec_frame is compared with; 0: same page
  bool plain = false;       ///< the target is translated without PageGroups
  Block* target = nullptr;  ///< linked to
};

/// An indirect branch through a table of the guest's: for each index where the branch went before, and what
/// the guest's table had there. It has host arrays of its own in the block's code: uint64_t host addresses,
/// then uint32_t EIPs, then, unless `near`, uint32_t exec_frames of their pages.
struct BranchTable {
  static constexpr unsigned kMostEntries = 256, kMostAnew = 64;

  uint16_t size = 0;          ///< of the arrays; indices beyond are looked up
  bool near = false;          ///< all targets are in the block's own page
  uint32_t arrays = 0;        ///< offset of them in the block's code, a multiple of 8
  uint32_t unknown = 0;       ///< offset of where an entry leads that is not known
  unsigned learned_anew = 0;  ///< entries that had led somewhere else before, or to code that is gone
  std::vector<Block*> targets;
  std::vector<bool> known;  ///< entries that have ever been learned

  uint32_t address_of(unsigned i) const { return arrays + 8 * i; }
  uint32_t rip_of(unsigned i) const { return arrays + 8u * size + 4 * i; }
  uint32_t frame_of(unsigned i) const { return arrays + 12u * size + 4 * i; }
  uint32_t bytes() const { return size * (near ? 12u : 16u); }
};

struct Block {
  enum class State : uint8_t {
    kCold,  ///< not translated (yet)
    kTranslated,
    kInterpret,  ///< its first instruction is the interpreter's
    kDead,       ///< its bytes changed, or its code was evicted
  };

  static constexpr unsigned kMostInsns = 64;  ///< sets of them are bits of a uint64_t
  static constexpr uint16_t kTooMany = 16;    ///< of what costs much, in quick succession

  // The key.
  uint64_t physical = 0;  ///< of the first byte, A20 applied
  uint32_t rip = 0;
  Mode mode;

  uint32_t code_base = 0;  ///< of CS, once it is translated
  State state = State::kCold;
  /// Instructions whose fast path has hardly ever done (MMIO, pages with code): bit i for the i-th.
  uint64_t always_interpret = 0;
  /// Those of them that get a fast path again if it would have done for most of kTrial executions. After that
  /// it takes more failures, kMostFailures at most, before they are the interpreter's again.
  uint64_t on_trial = 0;
  static constexpr uint16_t kTrial = 256, kMostFailures = 4096;
  uint16_t tried = 0, tried_indirect = 0;
  uint16_t denials = kTooMany;  ///< how many Repeats of `denied` are too many
  /// Instructions that find out beforehand what others leave to the host's exceptions: their probes check
  /// everything, although the block's mode is kWindow or kTrust, and so do divisions. Bit i for the i-th.
  uint64_t always_probe = 0;
  /// Instructions that read tables which do not lie in one page: bit i for the i-th.
  uint64_t large_tables = 0;
  /// Its BranchTable would keep changing.
  bool no_table = false;
  /// Instructions directly behind a translated STI: bit i for the i-th.
  uint64_t behind_sti = 0;
  /// x87 instructions whose address becomes FIP, and instructions that are always the interpreter's: bit i
  /// for the i-th.
  uint64_t sets_fip = 0, interpreted_at = 0;
  /// What happens in quick succession: how often so far, and cpu.retired at the latest.
  struct Repeats {
    uint16_t count = 0;
    uint64_t latest = 0;
  };
  Repeats denied;           ///< fast paths fail because an access is not direct
  Repeats mapped;           ///< accesses have pages mapped into the window of all address spaces
  Repeats trapped;          ///< accesses and divisions cost a signal
  bool crosses = false;     ///< its only instruction goes on in the physical page `second_page`
  uint16_t insn_count = 0;  ///< that retire when it runs to its end
  /// Before this instruction, below kLatestPoll, the countdown counts all of them: at the entry, or, if the
  /// block polls late, where the flags are dead, which may be there, too.
  uint16_t poll_at = 0;
  /// Where the flags are when the edge ends for which the block is translated.
  FlagState entered_with = FlagState::kEflags;
  uint32_t hits = 0;     ///< executions while cold
  isa::Mnemonic left{};  ///< of the instruction without an emitter that ends it (or is all of it)
  uint32_t guest_bytes = 0;
  uint32_t code_bytes = 0;
  uint64_t second_page = 0;
  /// In a mixed page: it compares at each entry the bytes it was made of with those at these host addresses,
  /// of the two pages if it crosses, and has no instruction behind one that may write.
  bool self_checking = false;
  std::array<const uint8_t*, 2> guest_code{};
  std::vector<uint8_t> made_of;
  uint64_t translated_at = 0;  ///< cpu.retired
  const uint8_t* code = nullptr;
  uint32_t entry[2] = {0, 0};         ///< offsets by FlagState
  std::vector<uint16_t> insn_offset;  ///< of each instruction from `rip`, and of the end
  std::vector<Site> sites;            ///< by offset
  std::vector<BlockExit> exits;
  std::unique_ptr<BranchTable> table;                         ///< of the branch at its end
  std::vector<std::unique_ptr<InterpretedInsn>> interpreted;  ///< code holds their addresses
  struct Incoming {
    Block* from;
    uint16_t exit;  ///< or index in its table
    bool in_table = false;
    bool operator==(const Incoming&) const = default;
  };
  std::vector<Incoming> incoming;
  Block* next_in_bucket = nullptr;

  /// Bit i for each i-th instruction that is the same one of the guest's as this, in another turn of a loop.
  uint64_t copies_of(unsigned insn) const {
    uint64_t copies = 0;
    for (unsigned i = 0; i < insn_count; ++i) copies |= uint64_t{insn_offset[i] == insn_offset[insn]} << i;
    return copies;
  }
  /// The last x87 instruction that translated code has executed in this block before `insn`, if the CpuState
  /// does not know of it yet.
  std::optional<unsigned> last_x87_before(unsigned insn) const {
    const uint64_t before = insn < kMostInsns ? (uint64_t{1} << insn) - 1 : ~uint64_t{0};
    const uint64_t x87 = sets_fip & before;
    if (x87 <= (interpreted_at & before)) return std::nullopt;
    return std::bit_width(x87) - 1;
  }
  /// How many instructions, from `insn` on, the countdown has counted that have not retired before `insn`
  /// begins; below 0: how many it has not that have.
  int counted_from(unsigned insn) const {
    return insn < poll_at ? -static_cast<int>(insn) : static_cast<int>(insn_count) - static_cast<int>(insn);
  }
  /// Linear pages. What is in its last one needs no check that it is mapped where it was.
  bool ends_in_page_of(uint32_t other_rip) const {
    const uint32_t page = (rip + code_base) / kPageSize + (crosses ? 1 : 0);
    return (other_rip + code_base) / kPageSize == page;
  }
  const uint8_t* entry_address(FlagState flags) const { return code + entry[static_cast<unsigned>(flags)]; }
  bool translated() const { return state == State::kTranslated; }
};

}  // namespace vireo::translator
