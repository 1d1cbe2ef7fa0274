// The interpreter's private parts: run loop state, code lookup, debug registers. Not for handler families.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/interp/block_cache.h"
#include "core/interp/interp_inline.h"
#include "core/log.h"

namespace vireo::interp {

/// Breakpoints that DR7 enables, one bit for each of DR0 to DR3.
struct Breakpoints {
  uint8_t execute = 0;
  uint8_t data = 0;
  uint8_t io = 0;
};

struct Interp::Impl {
  explicit Impl(Interp& interp);

  // --- code lookup (fetch.cpp)
  // ----------------------------------------------------------------------------------
  /// The block at CS:RIP. Throws the faults of the fetch of its first instruction.
  Block* find_block(BlockMode wanted) {
    const Segment& cs = cpu.segment(SegReg::kCs);
    const uint64_t rip = cpu.rip;
    const uint64_t linear = (cs.base + rip) & in.linear_mask_;
    const Jump& jump = jumps[jump_slot(linear)];
    if (jump.linear == linear) [[likely]] {
      Block* b = jump.block;
      if (b->physical == (fetch_page(linear) | (linear & kPageMask)) && b->mode == wanted && !b->crosses &&
          rip + b->bytes - 1 <= cs.limit) [[likely]] {
        return b;
      }
    }
    return find_block_slow(linear, wanted);
  }
  Block* find_block_slow(uint64_t linear, BlockMode mode);
  /// Decodes at `linear`, which can be fetched directly; into the cache.
  Block* build(uint64_t linear, BlockMode mode);
  /// One instruction at `linear`, which fill_for_fetch() has accepted; if it need not or cannot be cached,
  /// into `scratch`.
  Block* build_from_bytes(uint64_t linear, BlockMode mode, bool cacheable);
  void fill_for_fetch(uint64_t linear);
  /// Physical page that instructions at `linear` come from, or kNoPage if they can't be read directly.
  uint64_t fetch_page(uint64_t linear) const {
    return (uint64_t{in.mmu.exec_frame({linear}, in.privilege_)} - 1) * kPageSize;
  }
  static constexpr uint64_t kNoPage = ~kPageMask;

  // --- execution (interp.cpp)
  // -----------------------------------------------------------------------------------
  /// Runs cached blocks until something needs attention or cpu.retired is `limit`; `single_block`: one.
  void run_blocks(uint64_t limit, bool single_block);
  /// One instruction with everything that run_blocks() leaves out: shadows, TF, RF, breakpoints, trace.
  StepResult step_carefully();
  bool needs_care() const {
    return always_careful || (cpu.rflags & (rflags::kTf | rflags::kRf)) != 0 ||
           cpu.interrupt_shadow != CpuState::Shadow::kNone;
  }
  /// Looks at exit requests and pins; delivers what is due. Returns the reason to leave run(), if any.
  std::optional<ExitReason> service_attention();
  /// CpuState::accepted.
  void deliver_accepted();
  /// Delivers with the rules for faults during delivery: double fault, shutdown.
  void deliver_event(Event event, Fault fault);
  /// A fault, of which a run() may have so many.
  void deliver_counted(const Fault& fault);
  /// What execute_plain() answers now.
  PlainResult after_plain() const;
  /// #DB after an instruction for cpu.pending_dr6.
  void deliver_debug_trap();
  void trace_instruction(const Insn& insn);

  // --- debug registers (debug.cpp)
  // ------------------------------------------------------------------------------
  void update_breakpoints();
  /// Bits of DR6 for enabled breakpoints of `kinds` that [linear, linear + size) touches; `write`: also those
  /// for writes only.
  uint64_t match_breakpoints(uint8_t kinds, uint64_t linear, uint64_t size, bool write) const;
  void note_data_access(uint64_t linear, unsigned size, bool write);

  Interp& in;
  CpuState& cpu;
  BlockCache cache;
  BlockMode mode;  ///< of the code that CS says
  Breakpoints breakpoints;
  bool always_careful = false;

  static constexpr unsigned kJumpBits = 12;
  struct Jump {
    uint64_t linear = ~uint64_t{0};
    Block* block = nullptr;
  };
  std::array<Jump, 1u << kJumpBits> jumps;
  static size_t jump_slot(uint64_t linear) {
    return (linear ^ (linear >> kJumpBits)) & ((1u << kJumpBits) - 1);
  }

  std::vector<DecodedInsn> building;
  Block scratch;
  DecodedInsn scratch_insn;
  OwnCode scratch_code;

  uint64_t interrupts_delivered = 0, exceptions_delivered = 0, blocks_entered = 0, slow_lookups = 0,
           careful_steps = 0;
};

/// Around what may walk page tables or write to them: if a page of code is another one now, or gone, the
/// next instruction is fetched anew.
class FetchWatch {
 public:
  explicit FetchWatch(Interp& interp) : interp_(interp), generation_(generation()) {}
  ~FetchWatch() {
    if (generation() != generation_) interp_.end_block();
  }
  FetchWatch(const FetchWatch&) = delete;
  FetchWatch& operator=(const FetchWatch&) = delete;

 private:
  uint64_t generation() const { return interp_.mmu.exec_generation(interp_.privilege()); }

  Interp& interp_;
  const uint64_t generation_;
};

}  // namespace vireo::interp
