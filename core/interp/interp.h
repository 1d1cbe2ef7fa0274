// The reference interpreter: oracle, tracer and fallback of the faster engines. Decoded instructions are
// cached by physical page and mode; each is bound once to a handler specialised for its operand form and
// size.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/engine.h"
#include "core/isa/insn.h"

namespace vireo::interp {

using isa::Insn;

/// A guest exception on its way to delivery. Handlers throw it before they have changed any architectural
/// state (except what the SDM says a fault leaves changed); it never leaves the interpreter.
struct Fault {
  uint8_t vector;
  bool has_error_code = false;
  uint32_t error_code = 0;
  uint64_t address = 0;  ///< #PF: the linear address for CR2
};

/// Thrown instead of a Fault by an instruction that must be executed again after a pending interrupt (FERR#).
struct WaitForInterrupt {};

[[noreturn]] void throw_ud();                         ///< #UD
[[noreturn]] void throw_gp(uint32_t error_code = 0);  ///< #GP
[[noreturn]] void throw_ss(uint32_t error_code = 0);  ///< #SS
[[noreturn]] void throw_np(uint32_t error_code);      ///< #NP
[[noreturn]] void throw_ts(uint32_t error_code);      ///< #TS
[[noreturn]] void throw_nm();                         ///< #NM
[[noreturn]] void throw_de();                         ///< #DE
[[noreturn]] void throw_mf();                         ///< #MF
[[noreturn]] void throw_xm();                         ///< #XM
[[noreturn]] void throw_br();                         ///< #BR

class Interp;
struct OwnCode;
/// Executes one instruction. On entry cpu.rip is this instruction and next_rip the following one.
using Handler = void (*)(Interp&, const Insn&);

class Interp final : public ExecutionEngine {
 public:
  explicit Interp(CpuContext& context);
  ~Interp() override;

  std::string_view name() const override { return "interp"; }
  ExitReason run(const RunLimits& limits) override;
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const override;

  enum class StepResult : uint8_t {
    kRetired,     ///< completed; traps that it caused (single-step, data breakpoint) have been delivered
    kIncomplete,  ///< a REP instruction stopped between iterations; it is not counted yet
    kFault,       ///< it faulted: delivered to the guest, or left in `undelivered`
  };
  /// Executes exactly the one instruction at CS:RIP, whatever interrupts, HLT and limits say. A fault is
  /// delivered to the guest, unless `undelivered` is given: then it is stored there, and the state is as the
  /// fault leaves it.
  StepResult step_one(std::optional<Fault>* undelivered = nullptr);

  // ---- what an engine uses that runs most instructions itself and leaves the rest to this one
  /// How much advance() executes before it comes back.
  enum class Amount : uint8_t {
    kNothing,      ///< nothing that could be executed plainly: just what advance() says
    kInstruction,  ///< at least one instruction (a REP instruction: until it completes or pauses)
    kBlock,        ///< up to the next jump
    kUnlimited,    ///< until there is a reason to leave run()
  };
  /// What run() does before it starts: takes over what the caller may have changed in the CpuState.
  void begin_run();
  /// Runs like run() with this limit, but gives nothing once it has done `amount` and the state is plain
  /// again: no exit, interrupt, shadow, trap or breakpoint is due, so that the instruction at CS:RIP may be
  /// executed without a look at any of them.
  std::optional<ExitReason> advance(uint64_t retired_limit, Amount amount);
  /// Executes the instruction at CS:RIP in a plain state, with its handler already at hand; faults and debug
  /// traps are delivered.
  enum class PlainResult : uint8_t {
    kNext,       ///< the next instruction is the one behind it, and may be executed plainly too
    kElsewhere,  ///< CS:RIP may be anywhere, the mode another, the TLB flushed; the state is plain
    kStop,       ///< advance() has to look first
  };
  /// `fetch_behind`: what follows, be it the next iteration of a REP instruction, must be fetched anew.
  PlainResult execute_plain(Handler handler, const Insn& insn, bool fetch_behind = false);
  /// As execute_plain() of an instruction that is known to do nothing but raise this page fault. Saves a
  /// throw.
  PlainResult fault_plain(const PageFault& fault);
  /// Whether the INTR pin was up when it was last looked at, which is whenever it may have changed
  /// (Attention::kInterrupt) and before a run: setting IF then has an interrupt taken.
  const bool* interrupt_waiting() const { return &interrupt_waiting_; }
  /// Grows whenever mode_changed() is called, or a segment register changes in more than the bounds of a view
  /// that is not flat anyway.
  uint64_t mode_epoch() const { return mode_epoch_; }
  /// What fast paths need of a segment register. An access inside [0, end) of a kind needs no further
  /// check; `end` is 0 when it does (null, expand-down, not writable, alignment checks on, data breakpoints
  /// armed).
  struct SegmentView {
    uint64_t base = 0;
    uint64_t read_end = 0;
    uint64_t write_end = 0;
    /// Base 0 and no access ever needs a check.
    bool flat() const { return base == 0 && read_end > 0xffffffff && write_end > 0xffffffff; }
  };
  const std::array<SegmentView, 6>& segment_views() const { return view_; }
  /// From now on each view is also kept there.
  void mirror_segment_views(std::array<SegmentView, 6>* mirror) {
    view_mirror_ = mirror;
    *mirror = view_;
  }
  /// For an engine that loads data segment registers itself, in a state where the load has no effect but on
  /// the register: it writes the mirror, too.
  std::array<SegmentView, 6>& writable_segment_views() { return view_; }
  /// No data breakpoints and no alignment checks: views say what segments permit.
  bool views_comparable() const { return conditions_.comparable; }
  isa::CodeSize code_size() const;
  Privilege privilege() const { return privilege_; }

  // ---- what handlers use; fast paths are in interp_inline.h
  // ----------------------------------------------------
  CpuState& cpu;
  CpuContext& context;
  Mmu& mmu;
  /// Where execution goes on after this instruction; control transfers set it (through jump_near() and
  /// friends).
  uint64_t next_rip = 0;

  // General registers. T is uint8_t, uint16_t, uint32_t (zero-extends into the 64-bit register) or uint64_t.
  // Byte registers 4 to 7 are AH, CH, DH, BH unless the instruction has REX.
  template <class T>
  T reg(unsigned number, const Insn& insn) const;
  template <class T>
  void set_reg(unsigned number, const Insn& insn, T value);

  // Memory by segment and offset: segmentation checks (#GP/#SS), alignment check, paging, then the access.
  // Offsets are truncated to the address size by the caller; operands may cross pages. T is any trivially
  // copyable type of up to 16 bytes. An access that faults has changed nothing. Alignment of 16-byte operands
  // is the handler's business.
  template <class T>
  T read(SegReg segment, uint64_t offset);
  template <class T>
  void write(SegReg segment, uint64_t offset, T value);
  /// Reads with all checks of a write; the following write() to the same place cannot fault.
  template <class T>
  T read_for_write(SegReg segment, uint64_t offset);
  /// Any size up to 512 bytes, with all checks before the first byte moves.
  void read_bytes(SegReg segment, uint64_t offset, void* out, unsigned size);
  void write_bytes(SegReg segment, uint64_t offset, const void* bytes, unsigned size);
  /// The checks of segmentation alone: type and limit, or that it is loaded and the limit.
  void check_segment(SegReg segment, uint64_t offset, unsigned size, bool write) const;
  void check_limit(SegReg segment, uint64_t offset, unsigned size) const;
  /// All checks of a write of `size` bytes without writing.
  void probe_write(SegReg segment, uint64_t offset, unsigned size);
  /// Host address of [offset, offset + size) when all of it lies in one page of plain memory that may be read
  /// (written) and nothing watches; else null: go through read()/write(). For bulk string instructions.
  const uint8_t* direct_read(SegReg segment, uint64_t offset, unsigned size);
  uint8_t* direct_write(SegReg segment, uint64_t offset, unsigned size);
  /// Linear accesses with supervisor rights (descriptor tables, TSS), whatever CPL is.
  template <class T>
  T read_system(Gla address);
  template <class T>
  void write_system(Gla address, T value);
  /// A linear write with the rights of another ring (stacks about to be entered).
  void write_linear_as(Privilege privilege, Gla address, const void* bytes, unsigned size);

  /// Offset of the memory operand, truncated to the address size.
  uint64_t effective_address(const Insn& insn) const;

  // ModRM.rm operand, register or memory.
  template <class T>
  T read_rm(const Insn& insn);
  template <class T>
  T read_rm_for_write(const Insn& insn);
  template <class T>
  void write_rm(const Insn& insn, T value);

  // Stack, with SS.B deciding SP or ESP. push/pop of `size` 2, 4 (or 8) bytes. Nothing is changed when they
  // fault.
  void push(unsigned size, uint64_t value);
  uint64_t pop(unsigned size);
  /// 0xffff, 0xffffffff or all ones.
  uint64_t stack_mask() const { return stack_mask_; }
  /// Replaces the part of RSP that stack_mask() covers.
  void set_stack_pointer(uint64_t value);

  /// Near transfer to `rip` (truncated to operand size by the caller); #GP(0) if beyond CS.limit.
  void jump_near(uint64_t rip);

  /// IF, the interrupt shadow, or a pin changed: look at pending interrupts before the next instruction.
  void recheck_interrupts() { context.attention.request(Attention::kInterrupt); }
  /// Decoded code may be stale or the mode changed (CR0, CS, TLB flush): leave the current cached run of
  /// instructions.
  void end_block() { block_ended = true; }
  bool block_ended = false;

  // REP. After each iteration (at least one; a bulk step counts as an iteration), with rCX, rSI and rDI up to
  // date and iterations left, a handler asks rep_must_pause(); if so it calls pause_rep() and returns. The
  // instruction is then executed again for the rest, after whatever had to happen in between.
  bool rep_must_pause();
  void pause_rep();
  bool rep_paused = false;

  // I/O with permission check (IOPL, TSS bitmap) and I/O breakpoints. check_io() is the permission check
  // alone: INS and OUTS make it before they touch memory.
  void check_io(uint16_t port, unsigned size);
  uint32_t port_in(uint16_t port, unsigned size);
  void port_out(uint16_t port, unsigned size, uint32_t value);

  // Segments (segment.cpp): full protected-mode checks; real and V86 mode too.
  void load_segment(SegReg segment, uint16_t selector);
  /// What VERR and VERW find out; protected mode only.
  bool verify_segment(uint16_t selector, bool write);
  // Far transfers and interrupts (control_far.cpp, interrupt.cpp, task_switch.cpp). Selector and offset come
  // from the instruction; return address is next_rip.
  void far_jump(uint16_t selector, uint64_t offset, unsigned operand_size);
  void far_call(uint16_t selector, uint64_t offset, unsigned operand_size);
  void far_return(unsigned operand_size, unsigned pop_bytes);
  void interrupt_return(unsigned operand_size);
  /// kTrap: a #DB after the instruction that caused it (its saved RF is not forced to 1, as a fault's is).
  enum class Event : uint8_t { kFault, kTrap, kExternal, kNmi, kSoftwareInt, kInt3, kInto, kInt1 };
  /// Transfers to the guest's handler. The return address is next_rip for the INT instructions, else cpu.rip.
  /// The handler's address goes to next_rip. Throws a Fault when the delivery itself faults.
  void deliver(Event event, const Fault& fault);

  /// For instructions that clear TF on the way to a handler: no single-step trap after them.
  void cancel_single_step() { single_stepping_ = false; }

  unsigned cpl() const { return cpu.cpl; }
  /// Writes flags with POPF/IRET rules at the current CPL/IOPL/mode.
  void write_flags(uint64_t value, unsigned operand_size);

  // #NM/#UD/#MF checks that x87, MMX and SSE instructions make before they execute (SDM 3A 2.5, 13).
  // check_x87(true) is for the waiting instructions and WAIT's own #MF; FNINIT and the like pass false.
  void check_x87(bool waiting);
  void check_mmx();
  void check_sse();
  /// The #MF part of check_x87(true), for WAIT.
  void check_pending_x87_error();

  /// Call after segments, GDTR, LDTR, CR0, CR4, CPL, RFLAGS.AC or VM, EFER or DR7 changed: recomputes what
  /// the fast paths use and ends the block.
  void mode_changed();
  /// The same for CS, SS and CPL alone.
  void code_and_stack_changed();
  /// The same where they are flat 32-bit segments now.
  void code_and_stack_became_flat();
  /// The same for a data segment register alone.
  void update_segment(SegReg segment);

 private:
  struct Impl;
  friend struct Impl;

  /// Of own_code_: [host, host + size) touches it; it is no longer what was decoded.
  bool writes_itself(const uint8_t* host, unsigned size) const;
  bool rewrote_itself() const;

  void read_checked(SegReg segment, uint64_t offset, void* out, unsigned size);
  void write_checked(SegReg segment, uint64_t offset, const void* bytes, unsigned size);
  void read_for_write_checked(SegReg segment, uint64_t offset, void* out, unsigned size);
  void read_linear(Gla address, Privilege privilege, void* out, unsigned size);
  void write_linear(Gla address, Privilege privilege, const void* bytes, unsigned size);

  struct ViewConditions {
    bool unchecked_type;  ///< real and V86 mode
    bool comparable;      ///< no data breakpoints, no alignment checks
    bool operator==(const ViewConditions&) const = default;
  };
  ViewConditions view_conditions() const;
  void take_code_segment();
  void update_view(SegReg which, ViewConditions conditions);

  ViewConditions conditions_{};  ///< that view_ was made under
  std::array<SegmentView, 6> view_{};
  std::array<SegmentView, 6>* view_mirror_ = nullptr;
  uint64_t linear_mask_ = 0xffffffff;
  uint64_t stack_mask_ = 0xffff;
  Privilege privilege_ = Privilege::kSupervisor;
  /// Bounds of a run() in which nothing retires, so that its caller's clock and user are never kept waiting.
  static constexpr unsigned kFaultsPerRun = 10'000;
  static constexpr uint32_t kRepIterationsPerRun = 100'000;
  uint32_t rep_budget_ = kRepIterationsPerRun;
  unsigned faults_in_run_ = 0;
  uint64_t mode_epoch_ = 0;
  bool interrupt_waiting_ = false;
  bool single_stepping_ = false;  ///< a single-step trap is due after this instruction
  /// Of the current instruction if its page is mixed: a REP instruction has to notice that it overwrites it.
  const OwnCode* own_code_ = nullptr;

  std::unique_ptr<Impl> impl_;
};

}  // namespace vireo::interp
