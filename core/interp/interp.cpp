#include "core/interp/interp.h"

#include <algorithm>
#include <utility>

#include "core/interp/interp_impl.h"

namespace vireo::interp {

namespace {

constexpr uint8_t kDebug = 1, kNmiVector = 2, kDoubleFault = 8, kPageFault = 14;
constexpr uint64_t kDr6SingleStep = 1u << 14;

enum class FaultClass : uint8_t { kBenign, kContributory, kPageFault };

/// SDM 3A table 6-4.
FaultClass class_of(uint8_t vector) {
  if (vector == kPageFault) return FaultClass::kPageFault;
  return vector == 0 || (vector >= 10 && vector <= 13) ? FaultClass::kContributory : FaultClass::kBenign;
}

}  // namespace

Interp::Impl::Impl(Interp& interp) : in(interp), cpu(interp.cpu), cache(interp.context.memory) {
  cache.dropped_flag = &interp.block_ended;
  building.reserve(64);
  static Block nothing;  // matches no address
  jumps.fill({~uint64_t{0}, &nothing});
}

Interp::Interp(CpuContext& c) : cpu(c.cpu), context(c), mmu(c.mmu), impl_(std::make_unique<Impl>(*this)) {
  mode_changed();
}

Interp::~Interp() = default;

void Interp::begin_run() {
  mode_changed();
  // The caller may have changed what decides whether an interrupt can be taken.
  recheck_interrupts();
  rep_budget_ = kRepIterationsPerRun;
  faults_in_run_ = 0;
  if (cpu.accepted.kind != AcceptedEvent::Kind::kNone) impl_->deliver_accepted();
}

ExitReason Interp::run(const RunLimits& limits) {
  const TimeScope scope(context.time, TimeLedger::Component::kInterpreter);
  begin_run();
  return *advance(limits.retired, Amount::kUnlimited);
}

std::optional<ExitReason> Interp::advance(uint64_t retired_limit, Amount amount) {
  Impl& impl = *impl_;
  bool done = amount == Amount::kNothing;
  for (;;) {
    if (cpu.shutdown) return ExitReason::kShutdown;
    if (cpu.retired >= retired_limit) return ExitReason::kRetiredLimit;
    try {
      if (context.attention.bits() != 0) {
        if (auto exit = impl.service_attention()) return *exit;
        continue;
      }
      if (cpu.halted) return ExitReason::kHalt;
      if (impl.needs_care()) {
        impl.step_carefully();
        done |= amount != Amount::kUnlimited;
      } else if (done) {
        // Whoever executes the instruction at CS:RIP now sees to its count.
        cpu.rep_incomplete = false;
        return std::nullopt;
      } else {
        done = amount != Amount::kUnlimited;
        const uint64_t limit =
            amount == Amount::kInstruction ? std::min(cpu.retired + 1, retired_limit) : retired_limit;
        impl.run_blocks(limit, amount == Amount::kBlock);
      }
    } catch (const Fault& fault) {
      impl.deliver_event(Event::kFault, fault);
      // A guest whose handlers fault too retires nothing; the caller must still come to look up.
      if (++faults_in_run_ == kFaultsPerRun) return ExitReason::kAttention;
    } catch (const WaitForInterrupt&) {
      // The interrupt is delivered at the top of the loop.
    }
  }
}

Interp::PlainResult Interp::execute_plain(Handler handler, const Insn& insn, bool fetch_behind) {
  Impl& impl = *impl_;
  cpu.rep_incomplete = false;
  block_ended = fetch_behind;
  own_code_ = nullptr;
  next_rip = cpu.rip + insn.length;
  try {
    handler(*this, insn);
    cpu.rip = next_rip & linear_mask_;
    const bool paused = std::exchange(rep_paused, false);
    cpu.rep_incomplete = paused;
    if (!paused) ++cpu.retired;
    if (cpu.pending_dr6 != 0 && cpu.interrupt_shadow != CpuState::Shadow::kMovSs) impl.deliver_debug_trap();
    if (paused) return PlainResult::kStop;
  } catch (const Fault& fault) {
    impl.deliver_counted(fault);
  } catch (const WaitForInterrupt&) {
    return PlainResult::kStop;
  }
  return impl.after_plain();
}

Interp::PlainResult Interp::fault_plain(const PageFault& fault) {
  Impl& impl = *impl_;
  cpu.rep_incomplete = false;
  own_code_ = nullptr;
  impl.deliver_counted({kPageFault, true, fault.error_code, fault.address.value});
  return impl.after_plain();
}

void Interp::Impl::deliver_counted(const Fault& fault) {
  deliver_event(Event::kFault, fault);
  if (++in.faults_in_run_ == kFaultsPerRun) in.context.attention.request(Attention::kExit);
}

Interp::PlainResult Interp::Impl::after_plain() const {
  if (in.context.attention.bits() != 0 || cpu.halted || cpu.shutdown || needs_care())
    return PlainResult::kStop;
  return in.block_ended ? PlainResult::kElsewhere : PlainResult::kNext;
}

isa::CodeSize Interp::code_size() const {
  return impl_->mode.code_size();
}

void Interp::Impl::run_blocks(uint64_t limit, bool single_block) {
  // Locals, so that no store in a handler makes the compiler load them again.
  Interp& i = in;
  CpuState& c = cpu;
  const std::atomic<uint32_t>& attention = *i.context.attention.word();
  do {
    cpu.rep_incomplete = false;
    const Block* block = find_block(mode);
    ++blocks_entered;
    const DecodedInsn* insn = block->insns;
    uint64_t retired = c.retired;
    const DecodedInsn* end = insn + std::min<uint64_t>(block->count, limit - retired);
    uint64_t rip = c.rip;
    i.block_ended = false;
    i.own_code_ = block->own_code;
    // Handlers see RIP and the count in memory, but the loop carries them in registers: whoever sets next_rip
    // ends the block too.
    for (;;) {
      rip += insn->insn.length;
      i.next_rip = rip;
      insn->handler(i, insn->insn);
      c.retired = ++retired;
      if ((attention.load(std::memory_order_relaxed) | static_cast<uint32_t>(i.block_ended)) != 0) {
        rip = i.next_rip;
        break;
      }
      if (++insn == end) break;
      c.rip = rip;
    }
    c.rip = rip & i.linear_mask_;
    if (i.rep_paused) [[unlikely]] {
      i.rep_paused = false;
      cpu.rep_incomplete = true;
      --c.retired;
    }
    if (c.pending_dr6 != 0 && c.interrupt_shadow != CpuState::Shadow::kMovSs) [[unlikely]] {
      deliver_debug_trap();
      if (c.shutdown) break;
    }
    // Of a mixed page a block is one instruction.
    if (single_block && (block->own_code == nullptr || i.block_ended)) break;
  } while (attention.load(std::memory_order_relaxed) == 0 && c.retired < limit && !c.halted && !needs_care());
}

Interp::StepResult Interp::Impl::step_carefully() {
  ++careful_steps;
  const CpuState::Shadow shadow = std::exchange(cpu.interrupt_shadow, CpuState::Shadow::kNone);
  // A fault ends the shadow too; an interrupt that it held off is due after the fault.
  if (shadow != CpuState::Shadow::kNone) in.recheck_interrupts();
  const bool resume = cpu.rflags & rflags::kRf;
  // What has begun has passed its breakpoint.
  if (breakpoints.execute != 0 && !resume && !cpu.rep_incomplete && shadow != CpuState::Shadow::kMovSs) {
    const uint64_t linear = (cpu.segment(SegReg::kCs).base + cpu.rip) & in.linear_mask_;
    if (const uint64_t matched = match_breakpoints(breakpoints.execute, linear, 1, true)) {
      cpu.dr[6] |= matched;
      throw Fault{kDebug};
    }
  }
  cpu.rep_incomplete = false;
  const Block* block = find_block(BlockMode::make(mode.code_size(), true));
  const Insn& insn = block->insns->insn;
  if (log_enabled(LogCategory::kCpu)) trace_instruction(insn);
  in.block_ended = false;
  in.own_code_ = block->own_code;
  in.next_rip = cpu.rip + insn.length;
  in.single_stepping_ = cpu.rflags & rflags::kTf;
  // Instructions that load RF set it after this.
  cpu.rflags &= ~rflags::kRf;
  try {
    block->insns->handler(in, insn);
  } catch (...) {
    if (resume) cpu.rflags |= rflags::kRf;
    in.single_stepping_ = false;
    throw;
  }
  // INT, INT3 and the like have cleared TF and with it this.
  const bool trap = std::exchange(in.single_stepping_, false);
  cpu.rip = in.next_rip & in.linear_mask_;
  StepResult result = StepResult::kRetired;
  if (in.rep_paused) {
    in.rep_paused = false;
    cpu.rep_incomplete = true;
    // RF goes when the whole instruction has been executed.
    if (resume) cpu.rflags |= rflags::kRf;
    result = StepResult::kIncomplete;
  } else {
    ++cpu.retired;
  }
  if (trap) cpu.pending_dr6 |= kDr6SingleStep;
  if (cpu.pending_dr6 != 0 && cpu.interrupt_shadow != CpuState::Shadow::kMovSs) {
    deliver_debug_trap();
    result = StepResult::kRetired;
  }
  return result;
}

void Interp::Impl::deliver_debug_trap() {
  cpu.dr[6] |= std::exchange(cpu.pending_dr6, 0);
  deliver_event(Event::kTrap, Fault{kDebug});
}

Interp::StepResult Interp::step_one(std::optional<Fault>* undelivered) {
  mode_changed();
  rep_budget_ = kRepIterationsPerRun;
  try {
    return impl_->step_carefully();
  } catch (const Fault& fault) {
    if (undelivered != nullptr) {
      *undelivered = fault;
      cpu.pending_dr6 = 0;
    } else {
      impl_->deliver_event(Event::kFault, fault);
    }
    return StepResult::kFault;
  } catch (const WaitForInterrupt&) {
    return StepResult::kIncomplete;
  }
}

std::optional<ExitReason> Interp::Impl::service_attention() {
  Attention& attention = in.context.attention;
  const uint32_t bits = attention.bits();
  if (bits & Attention::kExit) {
    attention.clear(Attention::kExit);
    return ExitReason::kAttention;
  }
  attention.clear(bits);
  if (bits & Attention::kNmi) cpu.nmi_pending = true;
  in.interrupt_waiting_ = in.context.interrupts.interrupt_pending();
  if (cpu.interrupt_shadow != CpuState::Shadow::kNone) return std::nullopt;  // step_carefully() rechecks
  if (cpu.nmi_pending && !cpu.nmi_blocked) {
    cpu.nmi_pending = false;
    cpu.nmi_blocked = true;
    attention.request(Attention::kInterrupt);
    deliver_event(Event::kNmi, Fault{kNmiVector});
    return std::nullopt;
  }
  if ((cpu.rflags & rflags::kIf) && in.interrupt_waiting_) {
    deliver_event(Event::kExternal, Fault{in.context.interrupts.acknowledge()});
    in.interrupt_waiting_ = in.context.interrupts.interrupt_pending();
    // More may be waiting for when the handler sets IF; until then one look is enough.
  }
  return std::nullopt;
}

void Interp::Impl::deliver_accepted() {
  const AcceptedEvent accepted = std::exchange(cpu.accepted, {});
  const Event event = accepted.kind == AcceptedEvent::Kind::kExternal ? Event::kExternal
                      : accepted.kind == AcceptedEvent::Kind::kNmi    ? Event::kNmi
                                                                      : Event::kFault;
  if (accepted.kind == AcceptedEvent::Kind::kNmi) cpu.nmi_blocked = true;
  deliver_event(event, Fault{accepted.vector, accepted.has_error_code, accepted.error_code, cpu.cr2});
}

void Interp::Impl::deliver_event(Event event, Fault fault) {
  if (cpu.rep_incomplete) ++cpu.retired;  // left for good, as far as counting goes
  for (;;) {
    try {
      in.deliver(event, fault);
      break;
    } catch (const Fault& second) {
      const FaultClass first_class = event == Event::kFault ? class_of(fault.vector) : FaultClass::kBenign;
      const FaultClass second_class = class_of(second.vector);
      if (event == Event::kFault && fault.vector == kDoubleFault) {
        trace(LogCategory::kException, "shutdown: vector {} while delivering a double fault", second.vector);
        cpu.shutdown = true;
        return;
      }
      const bool doubled =
          (first_class == FaultClass::kContributory && second_class == FaultClass::kContributory) ||
          (first_class == FaultClass::kPageFault && second_class != FaultClass::kBenign);
      event = Event::kFault;
      fault = doubled ? Fault{kDoubleFault, true, 0} : second;
    }
  }
  cpu.rep_incomplete = false;
  cpu.halted = false;
  cpu.pending_dr6 = 0;
  cpu.interrupt_shadow = CpuState::Shadow::kNone;
  cpu.rip = in.next_rip & in.linear_mask_;
  in.rep_paused = false;
  in.block_ended = true;
}

void Interp::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  visit("interpreter/blocks built", impl_->cache.blocks_built());
  visit("interpreter/blocks dropped", impl_->cache.blocks_dropped());
  visit("interpreter/cache flushes", impl_->cache.flushes());
  visit("interpreter/blocks entered", impl_->blocks_entered);
  visit("interpreter/slow lookups", impl_->slow_lookups);
  visit("interpreter/careful steps", impl_->careful_steps);
  visit("interpreter/interrupts delivered", impl_->interrupts_delivered);
  visit("interpreter/exceptions delivered", impl_->exceptions_delivered);
  mmu.visit_stats(visit);
}

}  // namespace vireo::interp
