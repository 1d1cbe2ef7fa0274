// Far control transfers: JMPF CALLF RETF IRET SYSENTER SYSEXIT. All checks come before the first change of
// registers. Source: SDM 2A JMP, CALL, RET, IRET; SDM 3A 5.8 (call gates, conforming code), 20.2 (V86).
#include "core/interp/handlers.h"
#include "core/interp/protection.h"

namespace vireo::interp {

namespace {

uint64_t truncated(uint64_t value, unsigned operand_size) {
  return operand_size == 2 ? value & 0xffff : value & 0xffffffff;
}

void check_target(const Segment& cs, uint64_t offset) {
  if (offset > cs.limit) throw_gp(0);
}

/// A value of the current stack, `position` bytes above its top.
uint64_t peek(Interp& interp, unsigned position, unsigned size) {
  const uint64_t offset = (interp.cpu.reg(Gpr::kRsp) + position) & interp.stack_mask();
  return size == 2 ? interp.read<uint16_t>(SegReg::kSs, offset) : interp.read<uint32_t>(SegReg::kSs, offset);
}

void drop_from_stack(Interp& interp, unsigned bytes) {
  interp.set_stack_pointer(interp.cpu.reg(Gpr::kRsp) + bytes);
}

/// CS for a transfer to `selector` without a change of ring: SDM 3A 5.8.1.
Segment direct_code_segment(Interp& interp, uint16_t selector, Descriptor descriptor) {
  const uint32_t code = error_code_of(selector);
  const unsigned cpl = interp.cpl();
  if (descriptor.is_conforming() ? descriptor.dpl() > cpl
                                 : descriptor.dpl() != cpl || rpl_of(selector) > cpl) {
    throw_gp(code);
  }
  if (!descriptor.present()) throw_np(code);
  mark_accessed(interp, selector, descriptor);
  return descriptor.segment(static_cast<uint16_t>((selector & ~3u) | cpl));
}

Descriptor descriptor_or_gp(Interp& interp, uint16_t selector) {
  if (is_null(selector)) throw_gp(0);
  auto descriptor = read_descriptor(interp, selector);
  if (!descriptor) throw_gp(error_code_of(selector));
  return *descriptor;
}

/// Real mode and V86.
void simple_transfer(Interp& interp, uint16_t selector, uint64_t offset) {
  const Segment& old = interp.cpu.segment(SegReg::kCs);
  const Segment cs = interp.cpu.v86() ? v86_segment(selector) : real_mode_segment(old, selector);
  check_target(cs, offset);
  enter_code_segment(interp, cs, interp.cpl());
  interp.next_rip = offset;
}

/// Writes the old CS:RIP below the top of the current stack, whose new top is the result.
uint64_t write_return_address(Interp& interp, unsigned operand_size) {
  const uint64_t sp = interp.cpu.reg(Gpr::kRsp);
  const uint64_t cs_at = (sp - operand_size) & interp.stack_mask();
  const uint64_t ip_at = (sp - 2 * operand_size) & interp.stack_mask();
  const uint16_t cs = interp.cpu.segment(SegReg::kCs).selector;
  if (operand_size == 2) {
    interp.write<uint16_t>(SegReg::kSs, cs_at, cs);
    interp.write<uint16_t>(SegReg::kSs, ip_at, static_cast<uint16_t>(interp.next_rip));
  } else {
    interp.write<uint32_t>(SegReg::kSs, cs_at, cs);
    interp.write<uint32_t>(SegReg::kSs, ip_at, static_cast<uint32_t>(interp.next_rip));
  }
  return ip_at;
}

/// The old CS:RIP, pushed on a stack that need not be current.
void push_return_address(Interp& interp, StackWriter& stack, unsigned operand_size) {
  stack.push(operand_size, interp.cpu.segment(SegReg::kCs).selector);
  stack.push(operand_size, interp.next_rip);
}

/// The return address is written before the target's limit is checked.
void call_within_ring(Interp& interp, const Segment& cs, uint64_t offset, unsigned operand_size) {
  const uint64_t top = write_return_address(interp, operand_size);
  check_target(cs, offset);
  interp.set_stack_pointer(top);
  enter_code_segment(interp, cs, interp.cpl());
  interp.next_rip = offset;
}

void check_gate_access(Interp& interp, uint16_t selector, const Descriptor& gate) {
  const uint32_t code = error_code_of(selector);
  if (gate.dpl() < interp.cpl() || gate.dpl() < rpl_of(selector)) throw_gp(code);
  if (!gate.present()) throw_np(code);
}

void call_to_inner_ring(Interp& interp, const Descriptor& gate, const Segment& cs, unsigned cpl) {
  const unsigned size = gate.gate_is_386() ? 4 : 2;
  const StackPointer inner = inner_stack(interp, cpl, 0);
  StackWriter stack(interp, inner, cpl, error_code_of(inner.ss.selector));
  stack.push(size, interp.cpu.segment(SegReg::kSs).selector);
  stack.push(size, interp.cpu.reg(Gpr::kRsp));
  for (unsigned i = gate.gate_parameters(); i > 0; --i) stack.push(size, peek(interp, (i - 1) * size, size));
  push_return_address(interp, stack, size);
  check_target(cs, gate.gate_offset());
  interp.cpu.segment(SegReg::kSs) = inner.ss;
  interp.update_segment(SegReg::kSs);
  interp.set_stack_pointer(stack.pointer());
  enter_code_segment(interp, cs, cpl);
  interp.next_rip = gate.gate_offset();
}

void through_call_gate(Interp& interp, uint16_t selector, const Descriptor& gate, bool call) {
  check_gate_access(interp, selector, gate);
  const uint16_t target_selector = gate.gate_selector();
  Descriptor target = descriptor_or_gp(interp, target_selector);
  const uint32_t code = error_code_of(target_selector);
  const unsigned cpl = interp.cpl();
  if (!target.is_code() || target.dpl() > cpl) throw_gp(code);
  const bool inner = !target.is_conforming() && target.dpl() < cpl;
  if (inner && !call) throw_gp(code);
  if (!target.present()) throw_np(code);
  mark_accessed(interp, target_selector, target);
  const unsigned new_cpl = inner ? target.dpl() : cpl;
  const Segment cs = target.segment(static_cast<uint16_t>((target_selector & ~3u) | new_cpl));
  if (inner) {
    call_to_inner_ring(interp, gate, cs, new_cpl);
  } else if (call) {
    call_within_ring(interp, cs, gate.gate_offset(), gate.gate_is_386() ? 4 : 2);
  } else {
    check_target(cs, gate.gate_offset());
    enter_code_segment(interp, cs, cpl);
    interp.next_rip = gate.gate_offset();
  }
}

/// JMP or CALL to a system descriptor: call gate, task gate, TSS.
void transfer_through_system_descriptor(Interp& interp, uint16_t selector, const Descriptor& descriptor,
                                        bool call) {
  using namespace system_type;
  const TaskSwitch reason = call ? TaskSwitch::kCall : TaskSwitch::kJump;
  switch (descriptor.type()) {
    case kCallGate286:
    case kCallGate386:
      through_call_gate(interp, selector, descriptor, call);
      return;
    case kTaskGate: {
      check_gate_access(interp, selector, descriptor);
      const uint16_t tss_selector = descriptor.gate_selector();
      const Descriptor tss = task_gate_tss(interp, tss_selector, 0);
      switch_task(interp, reason, tss_selector, tss, interp.next_rip, interp.cpu.rflags, 0);
      return;
    }
    case kTss286:
    case kTss386:
      if (selector & 4) throw_gp(error_code_of(selector));
      check_gate_access(interp, selector, descriptor);
      switch_task(interp, reason, selector, descriptor, interp.next_rip, interp.cpu.rflags, 0);
      return;
    default:
      throw_gp(error_code_of(selector));
  }
}

/// CS and, for a return to an outer ring, SS:ESP, as they stand on the stack behind the return address.
struct OuterReturn {
  Segment cs;
  uint64_t offset;
  bool outer = false;
  StackPointer stack;
};

/// The checks that RETF and IRET share. `stack_position` is where the outer ESP and SS stand.
OuterReturn checked_return(Interp& interp, uint16_t selector, uint64_t offset, unsigned operand_size,
                           unsigned stack_position) {
  OuterReturn target;
  target.offset = offset;
  Descriptor descriptor = descriptor_or_gp(interp, selector);
  const uint32_t code = error_code_of(selector);
  const unsigned rpl = rpl_of(selector);
  if (!descriptor.is_code() || rpl < interp.cpl()) throw_gp(code);
  if (descriptor.is_conforming() ? descriptor.dpl() > rpl : descriptor.dpl() != rpl) throw_gp(code);
  if (!descriptor.present()) throw_np(code);
  target.outer = rpl > interp.cpl();
  if (target.outer) {
    target.stack.pointer = peek(interp, stack_position, operand_size);
    const auto ss = static_cast<uint16_t>(peek(interp, stack_position + operand_size, operand_size));
    if (is_null(ss)) throw_gp(0);
    const uint32_t ss_code = error_code_of(ss);
    auto stack = read_descriptor(interp, ss);
    if (!stack || rpl_of(ss) != rpl || !stack->is_writable_data() || stack->dpl() != rpl) throw_gp(ss_code);
    if (!stack->present()) throw_ss(ss_code);
    mark_accessed(interp, ss, *stack);
    target.stack.ss = stack->segment(ss);
  }
  mark_accessed(interp, selector, descriptor);
  target.cs = descriptor.segment(selector);
  check_target(target.cs, target.offset);
  return target;
}

/// Loads what checked_return() found; `drop` bytes leave the stack, and `parameters` the outer one too.
void commit_return(Interp& interp, const OuterReturn& target, unsigned drop, unsigned parameters) {
  if (target.outer) {
    interp.cpu.segment(SegReg::kSs) = target.stack.ss;
    interp.update_segment(SegReg::kSs);
    interp.set_stack_pointer(target.stack.pointer + parameters);
  } else {
    drop_from_stack(interp, drop + parameters);
  }
  interp.cpu.segment(SegReg::kCs) = target.cs;
  interp.cpu.cpl = static_cast<uint8_t>(target.cs.rpl());
  if (target.outer) drop_inner_segments(interp);
  interp.mode_changed();
  interp.next_rip = target.offset;
}

constexpr uint64_t kIretFlags = rflags::kArithmetic | rflags::kTf | rflags::kDf | rflags::kNt;

/// EFLAGS bits that IRET and POPF load at the current CPL and IOPL in protected mode.
uint64_t loadable_flags(const CpuState& cpu, unsigned operand_size) {
  uint64_t mask = kIretFlags;
  if (cpu.cpl <= cpu.iopl()) mask |= rflags::kIf;
  if (cpu.cpl == 0) mask |= rflags::kIopl;
  if (operand_size != 2) mask |= rflags::kRf | rflags::kAc | rflags::kId;
  return mask;
}

void finish_iret(Interp& interp) {
  interp.cpu.nmi_blocked = false;
  interp.recheck_interrupts();
  interp.end_block();
}

void iret_real_mode(Interp& interp, unsigned operand_size) {
  const uint64_t offset = peek(interp, 0, operand_size);
  const auto selector = static_cast<uint16_t>(peek(interp, operand_size, operand_size));
  const uint64_t flags = peek(interp, 2 * operand_size, operand_size);
  simple_transfer(interp, selector, offset);
  drop_from_stack(interp, 3 * operand_size);
  set_flags(interp, flags, loadable_flags(interp.cpu, operand_size));
}

void iret_v86(Interp& interp, unsigned operand_size) {
  const CpuState& cpu = interp.cpu;
  const bool vme = vme_below_iopl3(cpu) && operand_size == 2;
  if (cpu.iopl() < 3 && !vme) throw_gp(0);
  const uint64_t offset = peek(interp, 0, operand_size);
  const auto selector = static_cast<uint16_t>(peek(interp, operand_size, operand_size));
  uint64_t flags = peek(interp, 2 * operand_size, operand_size);
  uint64_t mask = loadable_flags(cpu, operand_size);
  if (vme) {
    const bool enable = flags & rflags::kIf;
    if ((flags & rflags::kTf) || (enable && (cpu.rflags & rflags::kVip))) throw_gp(0);
    mask = (mask & ~rflags::kIf) | rflags::kVif;
    flags |= enable ? rflags::kVif : 0;
  }
  simple_transfer(interp, selector, offset);
  drop_from_stack(interp, 3 * operand_size);
  set_flags(interp, flags, mask);
}

void iret_to_v86(Interp& interp, uint64_t flags) {
  const uint64_t offset = peek(interp, 0, 4);
  const auto cs = static_cast<uint16_t>(peek(interp, 4, 4));
  const uint64_t esp = peek(interp, 12, 4);
  constexpr SegReg kOrder[] = {SegReg::kSs, SegReg::kEs, SegReg::kDs, SegReg::kFs, SegReg::kGs};
  uint16_t selectors[5];
  for (unsigned i = 0; i < 5; ++i) selectors[i] = static_cast<uint16_t>(peek(interp, 16 + 4 * i, 4));
  if (offset > 0xffff) throw_gp(0);
  for (unsigned i = 0; i < 5; ++i) interp.cpu.segment(kOrder[i]) = v86_segment(selectors[i]);
  interp.cpu.reg(Gpr::kRsp) = esp;
  set_flags(interp, flags, loadable_flags(interp.cpu, 4) | rflags::kVm | rflags::kVif | rflags::kVip);
  enter_code_segment(interp, v86_segment(cs), 3);
  interp.next_rip = offset;
}

/// IRET with NT: back to the task that the TSS links to.
void iret_from_task(Interp& interp) {
  const uint16_t selector = interp.read_system<uint16_t>({interp.cpu.tr.base});
  const uint32_t code = error_code_of(selector);
  if (is_null(selector) || (selector & 4)) throw_ts(code);
  const auto tss = read_descriptor(interp, selector);
  if (!tss || !tss->is_busy_tss()) throw_ts(code);
  if (!tss->present()) throw_np(code);
  switch_task(interp, TaskSwitch::kIret, selector, *tss, interp.next_rip, interp.cpu.rflags & ~rflags::kNt,
              0);
}

}  // namespace

void Interp::far_jump(uint16_t selector, uint64_t offset, unsigned operand_size) {
  offset = truncated(offset, operand_size);
  if (cpu.real_or_v86()) {
    simple_transfer(*this, selector, offset);
    return;
  }
  const Descriptor descriptor = descriptor_or_gp(*this, selector);
  if (descriptor.is_system()) {
    transfer_through_system_descriptor(*this, selector, descriptor, false);
    return;
  }
  if (!descriptor.is_code()) throw_gp(error_code_of(selector));
  const Segment cs = direct_code_segment(*this, selector, descriptor);
  check_target(cs, offset);
  enter_code_segment(*this, cs, cpl());
  next_rip = offset;
}

void Interp::far_call(uint16_t selector, uint64_t offset, unsigned operand_size) {
  offset = truncated(offset, operand_size);
  if (cpu.real_or_v86()) {
    const Segment target =
        cpu.v86() ? v86_segment(selector) : real_mode_segment(cpu.segment(SegReg::kCs), selector);
    call_within_ring(*this, target, offset, operand_size);
    return;
  }
  const Descriptor descriptor = descriptor_or_gp(*this, selector);
  if (descriptor.is_system()) {
    transfer_through_system_descriptor(*this, selector, descriptor, true);
    return;
  }
  if (!descriptor.is_code()) throw_gp(error_code_of(selector));
  call_within_ring(*this, direct_code_segment(*this, selector, descriptor), offset, operand_size);
}

void Interp::far_return(unsigned operand_size, unsigned pop_bytes) {
  if (cpu.real_or_v86()) {
    const uint64_t offset = peek(*this, 0, operand_size);
    simple_transfer(*this, static_cast<uint16_t>(peek(*this, operand_size, operand_size)), offset);
    drop_from_stack(*this, 2 * operand_size + pop_bytes);
    return;
  }
  // CS is read first, and only its two bytes.
  const auto selector = static_cast<uint16_t>(peek(*this, operand_size, 2));
  const uint64_t offset = peek(*this, 0, operand_size);
  const OuterReturn target =
      checked_return(*this, selector, offset, operand_size, 2 * operand_size + pop_bytes);
  commit_return(*this, target, 2 * operand_size, pop_bytes);
}

void Interp::interrupt_return(unsigned operand_size) {
  if (!cpu.protected_mode()) {
    iret_real_mode(*this, operand_size);
  } else if (cpu.v86()) {
    iret_v86(*this, operand_size);
  } else if (cpu.rflags & rflags::kNt) {
    iret_from_task(*this);
  } else {
    const uint64_t flags = peek(*this, 2 * operand_size, operand_size);
    if (operand_size == 4 && (flags & rflags::kVm) && cpl() == 0) {
      iret_to_v86(*this, flags);
    } else {
      const uint64_t offset = peek(*this, 0, operand_size);
      const auto selector = static_cast<uint16_t>(peek(*this, operand_size, operand_size));
      const OuterReturn target = checked_return(*this, selector, offset, operand_size, 3 * operand_size);
      uint64_t mask = loadable_flags(cpu, operand_size);
      if (operand_size == 4 && cpl() == 0) mask |= rflags::kVif | rflags::kVip;
      commit_return(*this, target, 3 * operand_size, 0);
      set_flags(*this, flags, mask);
    }
  }
  finish_iret(*this);
}

namespace {

/// A far pointer: in the instruction, or in memory.
struct FarPointer {
  uint16_t selector;
  uint64_t offset;
};

FarPointer far_pointer(Interp& interp, const Insn& insn, bool in_memory) {
  if (!in_memory) return {static_cast<uint16_t>(insn.imm >> 32), insn.imm & 0xffffffff};
  const uint64_t address = interp.effective_address(insn);
  const uint64_t mask = ~uint64_t{0} >> (64 - 8 * insn.address_size);
  const uint64_t offset = insn.operand_size == 2 ? interp.read<uint16_t>(insn.segment, address)
                                                 : interp.read<uint32_t>(insn.segment, address);
  return {interp.read<uint16_t>(insn.segment, (address + insn.operand_size) & mask), offset};
}

template <bool in_memory>
void jmpf(Interp& interp, const Insn& insn) {
  const FarPointer target = far_pointer(interp, insn, in_memory);
  interp.far_jump(target.selector, target.offset, insn.operand_size);
}

template <bool in_memory>
void callf(Interp& interp, const Insn& insn) {
  const FarPointer target = far_pointer(interp, insn, in_memory);
  interp.far_call(target.selector, target.offset, insn.operand_size);
}

void retf(Interp& interp, const Insn& insn) {
  interp.far_return(insn.operand_size, static_cast<uint16_t>(insn.imm));
}

void iret(Interp& interp, const Insn& insn) {
  interp.interrupt_return(insn.operand_size);
}

/// The flat segments that SYSENTER and SYSEXIT load without looking at descriptors.
Segment fast_segment(unsigned selector, bool code, unsigned dpl) {
  const unsigned type = code ? 11 : 3;
  return {.base = 0,
          .limit = 0xffffffff,
          .selector = static_cast<uint16_t>(selector),
          .access = static_cast<uint16_t>(Segment::kG | Segment::kDb | Segment::kP | Segment::kS | dpl << 5 |
                                          type)};
}

void enter_fast(Interp& interp, unsigned cs, unsigned ss, unsigned cpl) {
  interp.cpu.segment(SegReg::kSs) = fast_segment(ss | cpl, false, cpl);
  interp.cpu.segment(SegReg::kCs) = fast_segment(cs | cpl, true, cpl);
  interp.cpu.cpl = static_cast<uint8_t>(cpl);
  interp.code_and_stack_became_flat();
}

void sysenter(Interp& interp, const Insn&) {
  CpuState& cpu = interp.cpu;
  const auto selector = static_cast<unsigned>(cpu.msr.sysenter_cs & 0xfffc);
  if (!cpu.protected_mode() || selector == 0) throw_gp(0);
  set_flags(interp, 0, rflags::kVm | rflags::kIf | rflags::kRf);
  enter_fast(interp, selector, selector + 8, 0);
  cpu.reg(Gpr::kRsp) = cpu.msr.sysenter_esp & 0xffffffff;
  interp.next_rip = cpu.msr.sysenter_eip & 0xffffffff;
}

void sysexit(Interp& interp, const Insn&) {
  CpuState& cpu = interp.cpu;
  const auto selector = static_cast<unsigned>(cpu.msr.sysenter_cs & 0xfffc);
  if (!cpu.protected_mode() || interp.cpl() != 0 || selector == 0) throw_gp(0);
  enter_fast(interp, selector + 16, selector + 24, 3);
  cpu.reg(Gpr::kRsp) = cpu.reg(Gpr::kRcx);
  interp.next_rip = cpu.reg(Gpr::kRdx);
}

}  // namespace

namespace bind {

Handler JMPF(const Insn& insn) {
  return insn.opcode == 0xea ? jmpf<false> : jmpf<true>;
}
Handler CALLF(const Insn& insn) {
  return insn.opcode == 0x9a ? callf<false> : callf<true>;
}
Handler RETF(const Insn&) {
  return retf;
}
Handler IRET(const Insn&) {
  return iret;
}
Handler SYSENTER(const Insn&) {
  return sysenter;
}
Handler SYSEXIT(const Insn&) {
  return sysexit;
}

}  // namespace bind

}  // namespace vireo::interp
