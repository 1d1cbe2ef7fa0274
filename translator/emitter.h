// Emits the host code of one block. The families' emitters (emit_*.cpp) are its members; each takes one
// decoded instruction, and says false, before it has emitted anything, when the interpreter has to execute
// it.
#pragma once

#include <span>
#include <vector>

#include "core/isa/cpuid.h"
#include "core/isa/insn_row.h"
#include "core/mmu.h"
#include "translator/block.h"
#include "translator/host_flags.h"
#include "translator/options.h"
#include "translator/page_groups.h"
#include "translator/reencode.h"
#include "translator/trampolines.h"

namespace vireo::translator {

/// One guest instruction of a block.
struct ScannedInsn {
  isa::Insn insn;
  const isa::InsnRow* row;
  std::span<const uint8_t> bytes;
  uint32_t rip;  ///< of its first byte
  uint32_t next_rip;
  /// Its immediate keeps changing: a self-checking block does not compare it, but uses what is in RAM.
  bool live_immediate = false;
};

/// That of an indirect branch at a block's end, as it is to be.
struct BranchTableShape {
  uint16_t size = 0;  ///< 0: none
  bool near = false;
  uint16_t load = 0;  ///< the instruction that reads the guest's table: the branch, or a MOV right before it
};

/// What the host and the machine give the emitter.
struct EmitterEnvironment {
  const Options& options;
  const Trampolines& trampolines;
  const CpuModel& model;
  bool bmi2 = false;
  HostFlags host_flags;
  uint32_t mxcsr_mask = 0;  ///< MXCSR bits that the guest has
};

/// Segments of the mode that is translated for: what is not flat is checked against the Frame's views.
struct EmitterMode {
  Mode mode;
  uint32_t code_base = 0;
  uint32_t code_limit = 0xffffffff;
};

/// Where a piece of a block's host code starts that was made for one purpose.
struct CodePart {
  enum class Kind : uint8_t {
    kEntry,
    kInsn,      ///< instruction `index`
    kEnd,       ///< to where the block goes on
    kSlow,      ///< instruction `index`, when its fast path cannot
    kSideExit,  ///< exit `index`, taken from inside the block
    kExit,      ///< exit `index`, while it is not linked
    kUnknown,   ///< an entry of the BranchTable that is not known
    kTable,     ///< the BranchTable's arrays
  };
  uint32_t offset;
  Kind kind;
  uint16_t index;
};

/// SYSENTER or SYSEXIT.
bool is_system_call(const ScannedInsn& x);
/// An instruction that may change memory, or of which that is not known; not by a TLB fill.
bool may_write_memory(const ScannedInsn& x);
/// Of a direct near branch.
uint32_t branch_target(const ScannedInsn& x);
/// JMP or CALL by a register or memory operand.
bool is_indirect_branch(const ScannedInsn& x);
/// An aligned element of a table at a constant offset.
bool is_table(const isa::Insn& insn, unsigned bytes);
/// ScannedInsn::live_immediate is for instructions like this.
bool may_have_live_immediate(const ScannedInsn& x);

class Emitter {
 public:
  Emitter(const EmitterEnvironment& environment, const EmitterMode& mode, const uint8_t* code_address);

  /// Emits `insns` and fills in what the block says of its code.
  void emit_block(std::span<const ScannedInsn> insns, Block& block);
  std::span<const uint8_t> code() const;
  /// Before emit_block(): its last instruction is a branch through a table.
  void use_branch_table(const BranchTableShape& shape) { table_shape_ = shape; }
  /// Before emit_block(): notes its parts there.
  void record_parts(std::vector<CodePart>& parts) { parts_ = &parts; }

 private:
  using Gp = asmjit::x86::Gp;
  using Label = asmjit::Label;

  bool emit_insn(const ScannedInsn& x);
  /// A block whose instruction goes on in the next page must find there what it was made of.
  void emit_second_page_check();
  /// Leaves if the guest's code is not what the block was made of (emit_self_check.cpp).
  void emit_self_check();
  void compare_code(const uint8_t* host, std::span<const uint8_t> bytes);
  /// Leaves the current instruction, a REP instruction that writes at [EDI + kDelta], to the dispatcher if
  /// that is in its own page.
  void emit_own_page_check();
  bool emit_live_immediate(const ScannedInsn& x);

  // --- families: one instruction each
  bool emit_Passthrough(const ScannedInsn& x);
  bool emit_Stack(const ScannedInsn& x);
  bool emit_String(const ScannedInsn& x);
  bool emit_Control(const ScannedInsn& x);
  bool emit_Segment(const ScannedInsn& x);
  bool emit_System(const ScannedInsn& x);
  bool emit_Io(const ScannedInsn& x);
  bool emit_Fpu(const ScannedInsn& x);
  bool emit_Mmx(const ScannedInsn& x);
  bool emit_Sse(const ScannedInsn& x);
  bool emit_Avx(const ScannedInsn& x);

  // --- passthrough (emit_passthrough.cpp)
  bool emit_reencoded(const ScannedInsn& x, const OperandUse& use, bool implicit_eax);
  /// Leaves DIV and IDIV by 0 to the interpreter. `place`: of a divisor in memory.
  void emit_divisor_check(const ScannedInsn& x, const OperandUse& use, const asmjit::x86::Mem& place);
  bool emit_lea(const ScannedInsn& x);
  bool emit_bit_string(const ScannedInsn& x, const OperandUse& use);
  /// Says where they still are, which is in rax if nothing needs them any more.
  FlagState prepare_flags(const ScannedInsn& x, bool free_rax);
  /// Sets all arithmetic flags, whatever they were.
  bool sets_all_flags(const ScannedInsn& x) const;
  /// An ALU or move instruction that works on registers alone, and that neither faults nor is the
  /// interpreter's.
  bool stays(size_t insn) const;
  /// Nobody can see the flags that the current instruction leaves.
  bool flags_die() const;
  void note_flags_after(const isa::InsnRow& row);

  // --- stack (emit_stack.cpp); the pointer register changes last
  using Mem = asmjit::x86::Mem;
  /// The place of a push, probed.
  Mem probe_push(unsigned bytes);
  bool stack_in_window() const { return windowed() && mode_.mode.has(Mode::kStack32) && flat(SegReg::kSs); }
  /// Its place is not a register plus a constant: probe_push() uses kAddress.
  bool push_needs_address() const;
  /// For what is to be pushed and survives probe_push().
  Gp pushed_value();
  void commit_push(unsigned bytes);
  /// The place of a pop, probed.
  Mem probe_pop(unsigned bytes);
  void commit_pop(unsigned bytes, unsigned extra = 0);
  /// Of a push or pop.
  void move_esp(int32_t step, const Gp& scratch);
  void push_value(const Gp& value, unsigned bytes);
  void push_immediate(uint32_t value, unsigned bytes);

  // --- ESP's register may lag behind (emit_stack.cpp)
  bool defers_esp(const ScannedInsn& x) const;
  /// ADD or SUB whose flags nobody sees.
  bool is_deferred_addition(const ScannedInsn& x) const;
  /// Instructions that do not mind.
  bool permits_deferred_esp(const ScannedInsn& x) const;
  /// Those of them that work on ESP itself.
  bool emit_of_esp(const ScannedInsn& x);
  /// Before an instruction.
  void prepare_esp(const ScannedInsn& x);
  /// The instruction, its memory operand relative to ESP's register.
  ScannedInsn with_deferred_esp(const ScannedInsn& x) const;
  void add_to_esp(int32_t bytes);
  /// Puts the register right.
  void settle_esp();

  bool emit_rdtsc();

  // --- flags beyond the arithmetic ones (emit_flag_control.cpp)
  bool may_change_if() const;
  bool emit_cli();
  bool emit_sti();
  bool emit_pushf(const ScannedInsn& x);
  bool emit_popf(const ScannedInsn& x);

  bool emit_selector_operand(const ScannedInsn& x);
  void emit_load_segment(unsigned number);
  /// The trampolines that use the DescriptorCache may be called.
  bool may_know_descriptors() const;
  /// What the mode adds to a key.
  uint32_t descriptor_key() const;

  // --- control flow (emit_control.cpp)
  bool emit_jcc(const ScannedInsn& x);
  /// The block goes on where this branch leads: in the next turn of a loop.
  bool goes_on_at(uint32_t target) const {
    return insn_ + 1u < insns_.size() && insns_[insn_ + 1u].rip == target;
  }
  bool emit_loop(const ScannedInsn& x);
  bool emit_call(const ScannedInsn& x);
  bool emit_ret(const ScannedInsn& x);
  bool emit_jmp_indirect(const ScannedInsn& x);
  /// Ends the block: goes on at `rip`.
  void emit_edge(uint32_t rip);
  void emit_edge_stub(size_t exit);
  size_t new_exit(uint32_t rip, FlagState flags);
  /// Compares what the target's page maps to with what it mapped to when the exit was linked.
  void emit_page_check(size_t exit, uint32_t rip, const Label& stub);
  /// Indirect branch to the EIP in r10.
  void emit_lookup_jump();
  /// The same for a branch through a table, to where its entry led before.
  void emit_table_jump();
  /// To the host address that is there. Uses `scratch` if kWindow is part of that place.
  void jump_through(const Mem& place, const Gp& scratch);
  void emit_branch_table();
  /// Before the instruction that reads the guest's table into the register that has the index.
  void keep_table_index();
  bool table_load_replaces_index() const;
  Gp table_index() const {
    return table_load_replaces_index() ? Gp(host::kValue.r32())
                                       : Gp(host::guest32(insns_[table_shape_.load].insn.index));
  }
  void check_code_limit(const Gp& target);
  bool load_branch_target(const ScannedInsn& x, const Gp& out);
  bool beyond_code_limit(uint32_t rip) const { return rip > mode_.code_limit; }

  // --- strings (emit_string.cpp)
  bool emit_single_string(const ScannedInsn& x);
  bool emit_repeated_string(const ScannedInsn& x);
  bool emit_windowed_run(const ScannedInsn& x);
  bool emit_repeated_scas(const ScannedInsn& x);
  bool emit_repeated_cmps(const ScannedInsn& x);
  void emit_upward_check();
  void emit_one_page_check(const Gp& pointer, const Gp& bytes);
  void emit_whole_run_check(unsigned bytes, bool source, const Label& none);

  // --- memory (emit_memory.cpp)
  /// The memory operand's offset, truncated to the address size, in the register returned (kAddress or the
  /// guest register that is the whole address).
  Gp emit_offset(const isa::Insn& insn);
  void emit_offset_to(const isa::Insn& insn, const Gp& out);
  /// Adds the segment's base after its checks; gives the register with the linear address.
  Gp emit_segment(SegReg segment, Gp offset, unsigned bytes, bool write);
  void emit_page_number(const Gp& out, const Gp& linear);
  /// TLB probe: afterwards the operand is [linear + kDelta], and the access cannot fail. Flags end up saved.
  /// `aligned`: the host checks that when it makes the access.
  /// `find_miss`: else the access itself does.
  void emit_probe(const Gp& linear, unsigned bytes, bool write, bool aligned = false, bool find_miss = true);
  /// The access may fail: note_access(). Flags stay where they are if they can.
  void emit_trusting_probe(const Gp& linear, unsigned bytes, bool write, bool aligned);
  /// The one or the other.
  void emit_operand_probe(const Gp& linear, unsigned bytes, bool write, bool aligned);
  /// The same for an address that is known, and that is in r10d afterwards.
  void emit_constant_probe(uint32_t linear, unsigned bytes, bool write, bool aligned);
  /// Puts the address of an element of a table into r10d, and counted from the table's first page into r11d.
  /// Returns that page's number.
  uint32_t emit_table_offset(const isa::Insn& insn);
  /// The same for an element of a table, which mostly lies in one page: the index need not be waited for.
  void emit_table_probe(const isa::Insn& insn, unsigned bytes);
  /// The same where no branch shall depend on the page: an element elsewhere traps, and flags stay.
  void emit_guessing_probe(const isa::Insn& insn);
  bool is_branch_target() const;
  /// The block computes this register before the current instruction, by more than counting.
  bool is_computed(unsigned gpr) const;
  /// Where the operand by ModRM or moffs is: all of them, or what its PageGroup knows. Uses kAddress and
  /// kDelta.
  Mem emit_operand(const isa::Insn& insn, unsigned bytes, bool write, bool aligned = false);
  Mem emit_windowed_operand(const isa::Insn& insn, unsigned bytes, bool write);
  /// Its 32-bit address is a sum that the host may make for an access through the window.
  static bool is_near_window(const isa::Insn& insn);
  /// The same for an address that is known to be in a register.
  Mem emit_linear(const Gp& linear, unsigned bytes, bool write);
  /// Reads 2 or 4 bytes there, zero-extended.
  void load_from(const Gp& out, const Mem& place, unsigned bytes);
  /// The current instruction's accesses go through the window.
  bool windowed() const { return mode_.mode.has(Mode::kWindow) && !must_check(); }
  /// Its probes leave it to the host to notice what they cannot give.
  bool trusting() const { return mode_.mode.has(Mode::kTrust) && !must_check(); }
  bool must_check() const { return (block_->always_probe >> insn_ & 1) != 0; }
  /// Offset and registers of the guest's address, in the window.
  Mem in_window(const Gp& offset, int32_t disp, unsigned bytes, unsigned scale = 0);
  /// kWindow or, if the current instruction has lost it, another register.
  Gp window_base();
  /// kValue for the current instruction, which loses kWindow.
  [[nodiscard]] Gp use_value() {
    window_lost_ = mode_.mode.has(Mode::kWindow);
    return host::kValue;
  }
  void restore_window();
  /// The host may find that such an operand cannot be had.
  bool may_trap(const Mem& place) const {
    return (windowed() && place.hasBase()) ||
           (trusting() && place.hasIndex() && place.indexId() == host::kDelta.id());
  }
  /// To be called right before an instruction that accesses such an operand, with no side effect of the
  /// guest's instruction behind it. `flags`: where they are then.
  void note_access(const Mem& place, bool write, FlagState flags);
  void note_access(const Mem& place, bool write) { note_access(place, write, flags_); }
  bool flat(SegReg segment) const { return is_flat(mode_.mode, segment); }

  // --- page groups (emit_groups.cpp)
  /// Those that begin at the current instruction.
  void emit_group_probes();
  void emit_group_probe(unsigned number);
  bool has_group(const GroupedAccess& access) const {
    return access.group != GroupedAccess::kNone && group_probed_[access.group];
  }
  Mem grouped(const GroupedAccess& access, unsigned bytes);
  static Mem group_slot(const PageGroup& group);
  /// From here on nothing is known of host addresses.
  void forget_groups();
  /// kDelta is overwritten.
  void use_delta() { delta_group_ = GroupedAccess::kNone; }

  // --- flags
  void save_flags();
  void restore_flags();
  void forget_flags() { flags_ = FlagState::kEflags; }

  // --- leaving
  /// Has the interpreter execute the current instruction.
  void emit_interpreted(const ScannedInsn& x);
  /// Where to jump for that from a fast path, before any side effect; flags saved.
  Label step_label();
  void call_interpreter(uint16_t insn, bool slow_path);
  void add_site(Site::Kind kind, uint16_t insn);
  void add_site_at(uint32_t offset, Site::Kind kind, uint16_t insn);
  void call_to(const uint8_t* target);
  void jump_to(const uint8_t* target);
  void embed(const HostInsn& insn);
  void mov_guest(unsigned guest, const Gp& value) { a.mov(host::guest32(guest), value.r32()); }

  // --- x87, MMX, SSE (emit_native.cpp, emit_fpu.cpp, emit_sse.cpp)
  /// From here on the fpu_unit bits `units` are set in Frame::fpu_ready, until the interpreter executes an
  /// instruction; nothing else may clear one.
  void require_fpu(uint8_t units);
  bool emit_native(const ScannedInsn& x);
  /// The block has no other one behind the current instruction.
  bool is_last_x87() const;
  /// For code behind the block, or one of its exits.
  void keep_fip(uint32_t rip);
  bool emit_fldcw(const ScannedInsn& x);
  bool emit_fnstsw_ax();
  bool emit_ldmxcsr(const ScannedInsn& x);

  FlagState wanted_entry(std::span<const ScannedInsn> insns) const;
  void emit_entry(FlagState wanted);
  void emit_poll(FlagState flags);
  /// Where the poll need not save the flags: before an instruction that sets all of them. Unless that costs
  /// more for how the block is entered.
  std::optional<uint16_t> find_late_poll() const;
  void emit_late_entry();
  void emit_slow_paths();
  uint32_t offset() const { return static_cast<uint32_t>(a.offset()); }
  void start_part(CodePart::Kind kind, size_t index = 0) {
    if (parts_ != nullptr) parts_->push_back({offset(), kind, static_cast<uint16_t>(index)});
  }

  struct SlowProbe {
    Label miss, unaligned, across, other_page, retry, back, step;
    Gp linear;
    uint16_t insn;
    uint8_t bytes;
    bool write, aligned;
  };
  /// With all but the ways that only some probes have.
  SlowProbe slow_probe(const Gp& linear, unsigned bytes, bool write, bool aligned);
  struct SlowFpu {
    Label start, back;
    uint16_t insn;
    uint8_t unit;
  };
  struct SlowStep {
    Label start, after;
    uint16_t insn;
    int32_t esp_before, esp_after = 0;  ///< deferred_esp_ then
    FlagState flags_after = FlagState::kSaved;
    bool ends_block = false;
    uint8_t fpu_after = 0;   ///< fpu_unit bits that have been tested
    uint8_t fpu_needed = 0;  ///< those of them that code behind the instruction relies on
  };
  struct EdgeStub {
    Label start;
    size_t exit;
  };
  /// Taken in the middle of the block: the countdown is put right first.
  struct SideExit {
    Label start;
    size_t exit;
    unsigned retired;  ///< instructions of the block
  };

  const EmitterEnvironment& environment_;
  const EmitterMode& mode_;
  const uint8_t* address_;
  asmjit::CodeHolder code_;
  asmjit::x86::Assembler a;
  Block* block_ = nullptr;
  std::vector<CodePart>* parts_ = nullptr;
  PageGroups groups_;
  std::vector<bool> group_probed_;
  uint8_t delta_group_ = GroupedAccess::kNone;  ///< the group whose host address kDelta has
  asmjit::Label countdown_over_;
  bool polls_late_ = false;  ///< at Block::poll_at, where the flags are dead
  uint16_t insn_ = 0;        ///< index of the current instruction
  FlagState flags_ = FlagState::kEflags;
  bool window_lost_ = false;    ///< kWindow has something else, until restore_window()
  uint8_t fpu_checked_ = 0;     ///< fpu_unit bits that the block has tested
  int32_t deferred_esp_ = 0;    ///< the guest's ESP is its host register plus this
  bool may_defer_esp_ = false;  ///< the current instruction may add to it
  bool ended_ = false;          ///< the last instruction has emitted how the block ends
  uint32_t count_operand_ = 0;
  struct RemainingOperand {
    uint32_t offset;
    uint16_t insn;
  };
  /// 32-bit immediates: instructions of the block from `insn` on.
  std::vector<RemainingOperand> remaining_operands_;
  std::vector<SlowProbe> slow_probes_;
  std::vector<SlowFpu> slow_fpu_;
  std::vector<SlowStep> slow_steps_;
  size_t first_step_with_fpu_ = 0;  ///< of slow_steps_: those before it are behind it again without the units
  asmjit::Label second_page_changed_, code_changed_;
  std::vector<EdgeStub> edge_stubs_;
  BranchTableShape table_shape_;
  bool index_in_value_ = false;  ///< keep_table_index() has put it into kValue; else into the Frame
  asmjit::Label branch_table_, table_unknown_, table_moved_;
  std::vector<SideExit> side_exits_;
  std::span<const ScannedInsn> insns_;
};

}  // namespace vireo::translator
