// The ABI of translated code; ABI.md is its prose. Registers, the frame that they reach through r14, and the
// helpers' view of both.
#pragma once

#include <asmjit/x86.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/cpu_state.h"
#include "core/interp/interp.h"
#include "translator/descriptor_cache.h"

namespace vireo::translator {

namespace host {
using namespace asmjit::x86;

/// Host register that holds guest register `number` (SDM order). EAX has moved so that rax is free: LAHF and
/// SAHF, the cheapest way to keep the flags while a TLB probe needs them, work on AH alone. ESP has moved
/// because rsp belongs to the pairing of calls.
inline constexpr uint8_t kGprOfGuest[8] = {8, 1, 2, 3, 9, 5, 6, 7};

inline Gpd guest32(unsigned number) {
  return Gpd(kGprOfGuest[number]);
}
inline Gp guest(unsigned number, unsigned bytes) {
  const uint32_t id = kGprOfGuest[number];
  return bytes == 4 ? Gp(Gpd(id)) : bytes == 2 ? Gp(Gpw(id)) : Gp(GpbLo(id));
}

inline const Gpq kFlags = rax;      ///< saved arithmetic flags: AH as LAHF, AL = OF; else free
inline const Gpq kAddress = r10;    ///< linear address of the access; exits: a host address
inline const Gpq kDelta = r11;      ///< host address minus linear address; else free
inline const Gpq kValue = r12;      ///< a PageGroup's host address, else free; survives a probe
inline const Gpq kWindow = r12;     ///< in code for windows, between instructions: Window::base()
inline const Gpq kTlb = r13;        ///< TlbTables of the current privilege + kTlbBias
inline const Gpq kFrame = r14;      ///< Frame + kFrameBias
inline const Gpq kCountdown = r15;  ///< instructions that may still retire
}  // namespace host

/// The low bits of kTlb and kFrame are shift counts for SHRX. 32-bit shifts by kFrame give the page number of
/// an address, 64-bit ones are not 0 if the countdown is below 0; those by kTlb:
/// Emitter::emit_trusting_probe.
inline constexpr int kTlbBias = 10;
inline constexpr int kFrameBias = 44;

/// A signal handler takes this off the countdown, so that the next poll leaves; maybe more than once.
inline constexpr uint64_t kLeaveSoon = uint64_t{1} << 40;
/// The countdown without that. It is never below -71 by itself.
constexpr int64_t true_countdown(uint64_t countdown) {
  return static_cast<int64_t>(countdown << 24) >> 24;
}

/// Instructions of a block that may retire before the countdown counts them, and the one that the interpreter
/// executes then (Site::Kind::kPollDead): the countdown starts with that many less.
inline constexpr unsigned kLatestPoll = 8;

/// Where the guest's arithmetic flags are.
enum class FlagState : uint8_t {
  kEflags,  ///< in the host's EFLAGS
  kSaved,   ///< in rax; EFLAGS is anything
};

/// Why translated code came back.
enum class ExitKind : uint64_t {
  kSite,      ///< exit_address is a Site's
  kIndirect,  ///< exit_address is the guest's new EIP, not found in the jump cache
  kDone,      ///< the CpuState is complete already (Trampolines::interpret)
};

/// Direct-mapped: from a guest EIP, the physical page that it is in now, and a mode, to translated code.
struct JumpCache {
  static constexpr unsigned kHalf = 1u << 16;
  static constexpr unsigned kEntries = 2 * kHalf;
  struct Tag {
    uint32_t rip = 0;
    uint32_t where = 0;  ///< TlbTables::exec_frame + Frame::mode_tag; 0: nothing here
    bool operator==(const Tag&) const = default;
  };
  struct Entry {
    Tag tag;
    uint64_t code = 0;  ///< host address, entry with FlagState::kSaved
  };
  static_assert(sizeof(Entry) == 16, "in one line of the host's cache");
  std::array<Entry, kEntries> entries;
  /// Code that address spaces share is run by some promoted() and by some not: each has its half.
  static unsigned slot(uint32_t rip, bool promoted) { return rip % kHalf + (promoted ? kHalf : 0); }
  /// Bits of `where` for exec_frame; those above number the modes, from 1 on.
  static constexpr unsigned kFrameBits = 24;
  static constexpr uint32_t kModes = 1u << (32 - kFrameBits);
};

/// Units of the host that the guest's instructions need. kX87 implies kMmx.
namespace fpu_unit {
inline constexpr uint8_t kMmx = 1u << 0;
inline constexpr uint8_t kX87 = 1u << 1;
inline constexpr uint8_t kSse = 1u << 2;
}  // namespace fpu_unit

/// MXCSR.PM to MXCSR.IM.
inline constexpr uint32_t kMxcsrMasks = 0x1f80;

/// What translated code reaches in memory beside the guest's. Page-aligned; kFrameGuardBytes follow.
struct Frame {
  CpuState* cpu;
  void* translator;
  uint64_t host_rsp;  ///< of the C++ code that entered
  uint64_t pair_rsp;  ///< RSP that translated code starts with
  uint64_t exit_address;
  uint64_t exit_kind;
  uint64_t countdown;             ///< kCountdown, in and out, and while C++ functions run
  uint64_t tlb;                   ///< kTlb, in
  uint64_t entry;                 ///< host address to enter
  uint64_t flags;                 ///< kFlags, in and out
  uint64_t window;                ///< kWindow, in; 0: there is no window for the mode
  const bool* interrupt_waiting;  ///< Interp::interrupt_waiting()
  /// fpu_unit bits whose instructions may execute; not 0: the guest's x87 and SSE state is in the host's
  /// units.
  uint8_t fpu_ready;
  uint8_t pad[3];
  uint32_t mode_tag;  ///< number of the mode << JumpCache::kFrameBits
  /// EIP of the x87 instruction that was the last when a block went on elsewhere; its upper half is kKeptFip
  /// if there has been none since the units were loaded.
  uint64_t fip;
  static constexpr uint64_t kKeptFip = 1;
  // Of a branch through a table, when its entry is not known (Site::Kind::kTable).
  uint32_t branch_target;  ///< EIP
  uint32_t branch_index;
  uint32_t fpu_scratch;            ///< a control word between its check and its use
  uint32_t run_start;              ///< ECX when the latest run of a window began (Site::Kind::kRunSaved)
  std::array<uint64_t, 8> groups;  ///< host addresses of PageGroups
  std::array<uint64_t, 4>
      across;  ///< the end of one page and the start of the next (Trampolines::read_across)
  std::array<uint64_t, 16> saved;  ///< registers around calls of C++ functions
  std::array<interp::Interp::SegmentView, 6> views;
  uint64_t supervisor_tlb;  ///< TlbTables of the supervisor
  uint32_t host_mxcsr;
  uint16_t host_fcw;
  alignas(64) FxState fx;  ///< scratch of FXSAVE
  DescriptorCache descriptors;
  alignas(64) JumpCache jumps;
};

/// Of the mapping whose first byte is the Frame's; the last eight are what the countdown's poll reads.
inline constexpr size_t kFrameBytes = (sizeof(Frame) + 8 + 4095) & ~size_t{4095};
inline constexpr int32_t kPollOffset = static_cast<int32_t>(kFrameBytes - 8) - kFrameBias;  ///< of them
/// Inaccessible, behind those: as far as a poll with a countdown below 0 reaches.
inline constexpr size_t kFrameGuardBytes = (uint64_t{1} << (64 - kFrameBias)) * 8;

static_assert(offsetof(Frame, views) + sizeof(Frame::views) <= 127 + 512,
              "hot fields stay near the front, where displacements are short");

/// What a place in a block's host code that can leave it stands for.
struct Site {
  enum class Kind : uint8_t {
    kStep,         ///< the interpreter executes instruction `insn`
    kChanged,      ///< self-check: the block's guest code is no longer what it was made of; flags in rax
    kNoFpu,        ///< the interpreter goes on at instruction `insn`: the host's units may not execute it
    kLink,         ///< the block's exit `insn` is not linked yet
    kTable,        ///< the block's BranchTable does not have the entry Frame::branch_index
    kPollSaved,    ///< the countdown ran out at the block's start, flags in rax
    kPollEflags,   ///< the same, flags in EFLAGS
    kPollDead,     ///< the same before instruction `insn`, which sets all flags: they are lost
    kFaultEflags,  ///< the instruction at this address raised a host exception; as kStep, flags in EFLAGS
    kFaultSaved,   ///< the same, flags in rax
    // An access through a window, or behind a probe that trusts: made possible and tried again, or as kStep.
    kReadSaved,
    kReadEflags,
    kWriteSaved,
    kWriteEflags,
    kRunSaved,   ///< REP MOVS through a window, ESI and EDI plus kWindow; reads and writes
    kRunEflags,  ///< REP STOS, EDI plus kWindow
    kUnaligned,  ///< a probe that trusts has been given an unaligned address; as kStep, flags in EFLAGS
    // A probe that guesses has been given an element in another page than the table's first; as kStep.
    kOtherPageSaved,
    kOtherPageEflags,
  };
  uint32_t offset;  ///< of the host address (for a call: its return address) in the block's code
  uint16_t insn;
  Kind kind;
  int8_t esp = 0;  ///< the guest's ESP is its host register plus this
};

}  // namespace vireo::translator
