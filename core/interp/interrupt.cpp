// Interrupts and exceptions: real mode's vector table, protected mode's gates, V86 with VME's redirection;
// INT INT3 INTO INT1. Source: SDM 3A chapters 6 and 20 (V86), SDM 2A INT.
#include "core/interp/handlers.h"
#include "core/interp/interp_impl.h"
#include "core/interp/protection.h"

namespace vireo::interp {

namespace {

constexpr uint8_t kDebug = 1, kPageFault = 14;
constexpr uint64_t kDr7Gd = 1u << 13;

struct Delivery {
  Interp& interp;
  Interp::Event event;
  Fault fault;
  uint64_t return_rip;
  uint64_t saved_flags;  ///< image for the stack

  CpuState& cpu() const { return interp.cpu; }
  bool software() const {
    return event == Interp::Event::kSoftwareInt || event == Interp::Event::kInt3 ||
           event == Interp::Event::kInto;
  }
  /// EXT bit of the error codes of faults in the delivery.
  uint32_t external() const { return software() ? 0 : 1; }
  uint32_t idt_error_code() const { return fault.vector * 8u + 2 + external(); }

  void real_mode() const;
  void protected_mode() const;
  void through_gate(const Descriptor& gate) const;
  void to_same_ring(const Descriptor& gate, Segment cs) const;
  void to_inner_ring(const Descriptor& gate, Segment cs, unsigned cpl) const;
  void through_task_gate(const Descriptor& gate) const;
  void enter_handler(const Descriptor& gate, const Segment& cs, unsigned cpl) const;
};

/// Pushes FLAGS, CS, IP and enters the handler of the vector table at `table`.
void enter_through_vector_table(Interp& interp, uint64_t table, uint8_t vector, uint64_t flags_image,
                                uint64_t return_rip, uint64_t flags_to_clear) {
  CpuState& cpu = interp.cpu;
  const uint32_t entry = interp.read_system<uint32_t>({table + 4u * vector});
  const uint64_t mask = interp.stack_mask();
  const uint64_t sp = cpu.reg(Gpr::kRsp);
  interp.write<uint16_t>(SegReg::kSs, (sp - 2) & mask, static_cast<uint16_t>(flags_image));
  interp.write<uint16_t>(SegReg::kSs, (sp - 4) & mask, cpu.segment(SegReg::kCs).selector);
  interp.write<uint16_t>(SegReg::kSs, (sp - 6) & mask, static_cast<uint16_t>(return_rip));
  interp.set_stack_pointer(sp - 6);
  set_flags(interp, 0, flags_to_clear);
  const auto selector = static_cast<uint16_t>(entry >> 16);
  const Segment& old = cpu.segment(SegReg::kCs);
  enter_code_segment(interp, cpu.v86() ? v86_segment(selector) : real_mode_segment(old, selector), cpu.cpl);
  interp.next_rip = entry & 0xffff;
}

void Delivery::real_mode() const {
  if (fault.vector * 4u + 3 > cpu().idtr.limit) throw_gp(0);
  enter_through_vector_table(interp, cpu().idtr.base, fault.vector, saved_flags, return_rip,
                             rflags::kIf | rflags::kTf | rflags::kAc | rflags::kRf);
}

void Delivery::protected_mode() const {
  using namespace system_type;
  if (fault.vector * 8u + 7 > cpu().idtr.limit) throw_gp(idt_error_code());
  const uint64_t raw = interp.read_system<uint64_t>({cpu().idtr.base + fault.vector * 8u});
  const Descriptor gate{static_cast<uint32_t>(raw), static_cast<uint32_t>(raw >> 32)};
  constexpr uint32_t kGates = 1u << kTaskGate | 1u << kInterruptGate286 | 1u << kTrapGate286 |
                              1u << kInterruptGate386 | 1u << kTrapGate386;
  if (!gate.is_system() || !((kGates >> gate.type()) & 1)) throw_gp(idt_error_code());
  if (software() && gate.dpl() < interp.cpl()) throw_gp(idt_error_code());
  if (!gate.present()) throw_np(idt_error_code());
  if (gate.type() == kTaskGate) {
    through_task_gate(gate);
  } else {
    through_gate(gate);
  }
}

void Delivery::through_task_gate(const Descriptor& gate) const {
  const uint16_t selector = gate.gate_selector();
  const Descriptor tss = task_gate_tss(interp, selector, external());
  switch_task(interp, TaskSwitch::kInterrupt, selector, tss, return_rip, saved_flags, external());
  if (!fault.has_error_code) return;
  const unsigned size = tss.gate_is_386() ? 4 : 2;
  StackWriter stack(interp, {cpu().segment(SegReg::kSs), cpu().reg(Gpr::kRsp)}, interp.cpl(), external());
  stack.push(size, fault.error_code);
  interp.set_stack_pointer(stack.pointer());
}

void Delivery::through_gate(const Descriptor& gate) const {
  const uint16_t selector = gate.gate_selector();
  if (is_null(selector)) throw_gp(external());
  const uint32_t code = error_code_of(selector, external());
  auto target = read_descriptor(interp, selector);
  if (!target || !target->is_code() || target->dpl() > interp.cpl()) throw_gp(code);
  if (!target->present()) throw_np(code);
  const bool inner = !target->is_conforming() && target->dpl() < interp.cpl();
  if (cpu().v86() && (!inner || target->dpl() != 0)) throw_gp(code);
  const unsigned cpl = inner ? target->dpl() : interp.cpl();
  mark_accessed(interp, selector, *target);
  const Segment cs = target->segment(static_cast<uint16_t>((selector & ~3u) | cpl));
  if (inner) {
    to_inner_ring(gate, cs, cpl);
  } else {
    to_same_ring(gate, cs);
  }
}

void Delivery::to_same_ring(const Descriptor& gate, Segment cs) const {
  const unsigned size = gate.gate_is_386() ? 4 : 2;
  StackWriter stack(interp, {cpu().segment(SegReg::kSs), cpu().reg(Gpr::kRsp)}, interp.cpl(), external());
  stack.push(size, saved_flags);
  stack.push(size, cpu().segment(SegReg::kCs).selector);
  stack.push(size, return_rip);
  if (fault.has_error_code) stack.push(size, fault.error_code);
  if (gate.gate_offset() > cs.limit) throw_gp(external());
  interp.set_stack_pointer(stack.pointer());
  enter_handler(gate, cs, interp.cpl());
}

void Delivery::to_inner_ring(const Descriptor& gate, Segment cs, unsigned cpl) const {
  const unsigned size = gate.gate_is_386() ? 4 : 2;
  const StackPointer inner = inner_stack(interp, cpl, external());
  StackWriter stack(interp, inner, cpl, error_code_of(inner.ss.selector, external()));
  const bool from_v86 = cpu().v86();
  if (from_v86) {
    for (SegReg s : {SegReg::kGs, SegReg::kFs, SegReg::kDs, SegReg::kEs})
      stack.push(size, cpu().segment(s).selector);
  }
  stack.push(size, cpu().segment(SegReg::kSs).selector);
  stack.push(size, cpu().reg(Gpr::kRsp));
  stack.push(size, saved_flags);
  stack.push(size, cpu().segment(SegReg::kCs).selector);
  stack.push(size, return_rip);
  if (fault.has_error_code) stack.push(size, fault.error_code);
  if (gate.gate_offset() > cs.limit) throw_gp(external());

  if (from_v86) {
    for (SegReg s : {SegReg::kGs, SegReg::kFs, SegReg::kDs, SegReg::kEs}) cpu().segment(s) = null_segment(0);
  }
  cpu().segment(SegReg::kSs) = inner.ss;
  interp.update_segment(SegReg::kSs);
  interp.set_stack_pointer(stack.pointer());
  enter_handler(gate, cs, cpl);
}

void Delivery::enter_handler(const Descriptor& gate, const Segment& cs, unsigned cpl) const {
  const bool interrupt_gate = (gate.type() & 1) == 0;
  set_flags(interp, 0,
            rflags::kTf | rflags::kNt | rflags::kRf | rflags::kVm | (interrupt_gate ? rflags::kIf : 0));
  enter_code_segment(interp, cs, cpl);
  interp.next_rip = gate.gate_offset();
}

/// The RF that the pushed image has (SDM 3B 17.3.1.1).
uint64_t flags_image(const CpuState& cpu, Interp::Event event, const Fault& fault, bool instruction) {
  const bool fault_class = event == Interp::Event::kFault && fault.vector != kDebug;
  return cpu.rflags | (fault_class || (cpu.rep_incomplete && !instruction) ? rflags::kRf : 0);
}

}  // namespace

void Interp::deliver(Event event, const Fault& fault) {
  const bool instruction = event >= Event::kSoftwareInt;
  const Delivery delivery{*this, event, fault, instruction ? next_rip : cpu.rip,
                          flags_image(cpu, event, fault, instruction)};
  trace(LogCategory::kException, "vector {:#04x} error code {:#x} at {:04x}:{:08x} cr2 {:#x}", fault.vector,
        fault.error_code, cpu.segment(SegReg::kCs).selector, delivery.return_rip, fault.address);
  ++(event == Event::kExternal ? impl_->interrupts_delivered : impl_->exceptions_delivered);
  if (event == Event::kFault && fault.vector == kPageFault) cpu.cr2 = fault.address;
  if (event <= Event::kTrap && fault.vector == kDebug) cpu.dr[7] &= ~kDr7Gd;
  if (cpu.protected_mode()) {
    delivery.protected_mode();
  } else {
    delivery.real_mode();
  }
  cancel_single_step();
  end_block();
}

namespace {

/// VME (SDM 3A 20.3): true if the TSS's redirection bitmap sends this INT to the V86 task's own vector table.
bool redirected_to_v86_handler(Interp& interp, uint8_t vector) {
  const Segment& tr = interp.cpu.tr;
  if (!(tr.type() & 8) || tr.limit < 103) throw_gp(0);
  const uint32_t io_base = interp.read_system<uint16_t>({tr.base + 102});
  const uint32_t offset = io_base - 32 + vector / 8;
  if (io_base < 32 || offset > tr.limit) throw_gp(0);
  return !((interp.read_system<uint8_t>({tr.base + offset}) >> (vector % 8)) & 1);
}

void int_in_v86(Interp& interp, uint8_t vector) {
  CpuState& cpu = interp.cpu;
  const bool iopl3 = cpu.iopl() == 3;
  if ((cpu.cr4 & cr4::kVme) && redirected_to_v86_handler(interp, vector)) {
    uint64_t image = cpu.rflags;
    if (!iopl3) {
      image = (image & ~rflags::kIf) | rflags::kIopl | (image & rflags::kVif ? rflags::kIf : 0);
    }
    enter_through_vector_table(interp, 0, vector, image, interp.next_rip,
                               rflags::kTf | rflags::kRf | (iopl3 ? rflags::kIf : rflags::kVif));
    interp.cancel_single_step();
    return;
  }
  if (!iopl3) throw_gp(0);
  interp.deliver(Interp::Event::kSoftwareInt, Fault{vector});
}

void int_n(Interp& interp, const Insn& insn) {
  const auto vector = static_cast<uint8_t>(insn.imm);
  if (interp.cpu.protected_mode() && interp.cpu.v86()) {
    int_in_v86(interp, vector);
  } else {
    interp.deliver(Interp::Event::kSoftwareInt, Fault{vector});
  }
}

void int3(Interp& interp, const Insn&) {
  interp.deliver(Interp::Event::kInt3, Fault{3});
}
void int1(Interp& interp, const Insn&) {
  interp.deliver(Interp::Event::kInt1, Fault{1});
}
void into(Interp& interp, const Insn&) {
  if (interp.cpu.rflags & rflags::kOf) interp.deliver(Interp::Event::kInto, Fault{4});
}

}  // namespace

namespace bind {

Handler INT(const Insn&) {
  return int_n;
}
Handler INT3(const Insn&) {
  return int3;
}
Handler INT1(const Insn&) {
  return int1;
}
Handler INTO(const Insn&) {
  return into;
}

}  // namespace bind

}  // namespace vireo::interp
