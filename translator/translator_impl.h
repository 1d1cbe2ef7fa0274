// The translator's private parts: dispatch, scanning, what translated code calls.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/isa/decode.h"
#include "translator/block_cache.h"
#include "translator/counters.h"
#include "translator/emitter.h"
#include "translator/host_fault.h"
#include "translator/perf_map.h"
#include "translator/translator.h"
#include "translator/trust_policy.h"
#include "translator/window_policy.h"

namespace vireo::translator {

/// The fpu_unit bits of which instructions may execute on the host without any check: none faults.
uint8_t permitted_fpu_units(const CpuState& cpu);

struct Translator::Impl {
  Impl(CpuContext& context, const Options& options, std::unique_ptr<CodeBuffer> buffer, void* frame_memory,
       void* pair_stack);
  ~Impl();

  ExitReason run(const RunLimits& limits);

  /// The mode of the CpuState, and with it what the Frame says of it and of the current address space.
  void refresh_mode();
  /// The same where only the privilege has changed.
  void refresh_privilege();
  bool mode_changed() const {
    return interp.mode_epoch() != seen_epoch || context.mmu.space_serial() != seen_space;
  }
  /// Its number in the jump cache.
  uint32_t number_of_mode();
  JumpCache::Tag jump_tag(uint32_t rip, uint32_t exec_frame) const {
    return {rip, exec_frame + static_cast<uint32_t>(frame->mode_tag)};
  }
  /// The translated block at CS:RIP if the jump cache has it.
  Block* find_in_jump_cache();
  /// The block at CS:RIP, or null when the interpreter has to fetch there or there is a page_fault.
  Block* find_block(bool plain);
  /// Translates a block whose state is kCold.
  void translate(Block& block);
  /// Decodes from block.rip on, to the end of the page or of the block.
  void scan(Block& block);
  /// scan() for an instruction that goes on in the next page.
  bool scan_crossing(Block& block);
  /// Repeats in `scanned` a block that is a short loop.
  void unroll();
  /// By what the guest's table has now.
  BranchTableShape find_branch_table(const Block& block) const;
  bool accept_changing(ScannedInsn& x, uint64_t physical) const;
  /// Appends to `scanned` if the CPU model has the instruction.
  isa::DecodeStatus decode_one(std::span<const uint8_t> bytes, uint32_t rip);
  /// Runs translated code from `block` on until it leaves; the CpuState is complete afterwards.
  void execute(Block& block, uint64_t retired_limit);
  /// An exit of a block, or an entry of its BranchTable.
  struct Edge {
    Block* from = nullptr;
    unsigned index = 0;
    uint32_t target_rip = 0;
    bool in_table = false;
    const BlockExit* exit() const { return from != nullptr && !in_table ? &from->exits[index] : nullptr; }
  };
  /// Makes the edge lead to its target without leaving.
  void link(const Edge& taken, Block& target, uint32_t exec_frame);
  /// What a block's BranchTable does not know.
  void handle_unknown_entry(Block& block);
  /// What the exit says to do next. Returns what advance() has to execute.
  void handle_exit();
  struct InsnBytes {
    std::array<uint8_t, isa::kMaxInsnLength> bytes{};
    unsigned length = 0;
  };
  /// As they are in RAM now.
  static InsnBytes bytes_of(const Block& block, unsigned insn);
  std::optional<isa::Insn> decode_again(const InsnBytes& bytes) const;
  bool too_often(Block::Repeats& repeats, uint64_t retired, uint64_t soon,
                 unsigned most = Block::kTooMany) const;
  /// The instruction has cost a signal. `hopeless`: it would again.
  void note_trap(Block& block, unsigned insn, uint64_t retired, bool hopeless = false);
  Block* replace(Block& block);
  void count_exit(Leaving why);
  std::optional<ExitReason> advance(uint64_t retired_limit);
  /// What the next advance() has to execute, and as what it is counted.
  void leave_to_interpreter(interp::Interp::Amount amount, uint64_t& counter);
  /// By a countdown of translated code, which has counted all of the block that is running, or nothing of it.
  uint64_t retired_at(uint64_t countdown) const {
    return retired_at_zero - static_cast<uint64_t>(true_countdown(countdown));
  }
  /// By the countdown that translated code left.
  uint64_t retired_now() const { return retired_at(frame->countdown); }
  void load_flags();
  void store_flags();
  /// frame->fx to the CpuState; the units are the host's again. `block`: which leaves before its instruction
  /// `insn`; null: at its end.
  void store_fpu(const Block* block, unsigned insn);
  /// The CpuState's to frame->fx, if the instructions of all these fpu_unit bits may execute.
  bool load_fpu(uint8_t units);
  const Site& site_at(const Block& block, const uint8_t* host) const;

  static bool fill(Frame* frame, uint64_t linear, Access access);
  /// SIGSEGV in translated code: true if it was an access through the window, or behind a probe that trusts,
  /// that may be tried again; the latter with another kDelta.
  bool try_again(AccessFault& fault);
  void note_interpreted(Block& block, unsigned insn, bool direct);
  /// What the policies have decided is in the mode.
  void look_at_policies();
  void settle_windows() {
    if (windows) windows->settle();
  }
  /// What interpret() answers beside a host address to go on at (a block's entry, flags saved).
  static constexpr uint64_t kLeave = 0, kGoOn = 1;
  uint64_t interpret(const InterpretedInsn& insn);
  /// For SYSENTER and SYSEXIT at a block's end: the same, without what hardly ever happens.
  uint64_t system_call(const InterpretedInsn& insn);
  bool load_segment(uint64_t what);
  bool verify_segment(uint64_t what);
  bool read_tsc(uint64_t remaining);

  /// More than any block's code.
  static constexpr uint64_t kMaxBlockCode = 32 << 10;

  CpuContext& context;
  CpuState& cpu;
  const Options options;
  const HostCosts costs;
  interp::Interp interp;
  std::unique_ptr<CodeBuffer> buffer;
  Frame* frame;
  void* pair_stack;
  Trampolines trampolines;
  std::unique_ptr<BlockCache> blocks;
  EmitterEnvironment environment;
  EmitterMode mode;
  FaultRange fault_range;
  std::unique_ptr<PerfMap> perf_map;

  std::unique_ptr<WindowPolicy> windows;                  ///< null: none
  std::unique_ptr<TrustPolicy> trust;                     ///< null: every probe checks; also with windows
  std::array<Block*, JumpCache::kEntries> jump_blocks{};  ///< of frame->jumps
  /// Numbers of modes in the jump cache, by Mode::bits, and the latest by privilege.
  std::unordered_map<uint32_t, uint32_t> mode_numbers;
  struct ModeNumber {
    Mode mode;
    uint32_t number = 0;
  };
  std::array<ModeNumber, 2> latest_modes{};
  uint64_t seen_epoch = ~uint64_t{0};
  uint64_t seen_space = 0;  ///< Mmu::space_serial()
  uint64_t code_base = 0, code_limit = 0;
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> code_segments;
  static constexpr uint32_t kMaxCodeSegments = 1u << 20;

  std::vector<ScannedInsn> scanned;
  std::array<uint8_t, 32> crossing_bytes{};
  /// cpu.retired when the countdown reaches 0.
  uint64_t retired_at_zero = 0;
  interp::Interp::Amount todo = interp::Interp::Amount::kNothing;
  /// The instruction at CS:RIP, which handle_exit() has found out must not be fetched anew.
  std::optional<isa::Insn> fetched_already;
  /// The instruction whose access try_again() was asked for last.
  InsnBytes before_walk;
  /// By which the block at the new CS:RIP has been reached.
  Edge edge;
  /// Of the BlockCache, when the translated code that is running was entered.
  uint64_t code_epoch = 0;
  /// The running block may be dead: an accessed or dirty flag has been set in a table that is code, too.
  bool code_changed() const { return blocks->epoch() != code_epoch; }
  /// Mmu::exec_generation() then. Once it is another, no host address that the running block keeps may be
  /// used.
  uint64_t entered_generation = 0;
  bool may_go_on() const {
    return !code_changed() && context.mmu.exec_generation(interp.privilege()) == entered_generation;
  }
  /// What the latest fill() or find_block() found, for those who called it.
  std::optional<PageFault> page_fault;
  /// The latest fill() found a page that may be accessed, but not directly: MMIO, or it holds code.
  bool fill_denied = false;
  bool denied_for_code = false;  ///< and it was for the latter
  /// The latest fault in a run was not looked at, because something else is due first.
  bool left_for_attention = false;

  uint64_t looked_at = 0;  ///< cpu.retired when look_at_policies() looked

  Counters stats;
  uint64_t first_retired;  ///< cpu.retired at the start
  /// Of stats: who pays for the instructions of the next advance().
  uint64_t* interpreted_as = nullptr;
  Leaving done_as{};  ///< for ExitKind::kDone
};

}  // namespace vireo::translator
