// Segment registers: MOV_SREG PUSH_SREG POP_SREG LES LDS LSS LFS LGS; ARPL LAR LSL VERR VERW.
// Source: SDM 3A 5.6 (privilege checks of data segments), 5.7 (stack segment); SDM 2.
#include "core/interp/handlers.h"
#include "core/interp/protection.h"

namespace vireo::interp {

namespace {

Segment checked_stack_segment(Interp& interp, uint16_t selector) {
  if (is_null(selector)) throw_gp(0);
  const uint32_t code = error_code_of(selector);
  auto descriptor = read_descriptor(interp, selector);
  if (!descriptor || rpl_of(selector) != interp.cpl() || !descriptor->is_writable_data() ||
      descriptor->dpl() != interp.cpl()) {
    throw_gp(code);
  }
  if (!descriptor->present()) throw_ss(code);
  mark_accessed(interp, selector, *descriptor);
  return descriptor->segment(selector);
}

Segment checked_data_segment(Interp& interp, uint16_t selector) {
  if (is_null(selector)) return null_segment(selector);
  const uint32_t code = error_code_of(selector);
  auto descriptor = read_descriptor(interp, selector);
  if (!descriptor || !descriptor->is_readable()) throw_gp(code);
  if (!descriptor->is_conforming() &&
      (rpl_of(selector) > descriptor->dpl() || interp.cpl() > descriptor->dpl())) {
    throw_gp(code);
  }
  if (!descriptor->present()) throw_np(code);
  mark_accessed(interp, selector, *descriptor);
  return descriptor->segment(selector);
}

}  // namespace

void Interp::load_segment(SegReg which, uint16_t selector) {
  Segment& s = cpu.segment(which);
  if (!cpu.protected_mode()) {
    s = real_mode_segment(s, selector);
  } else if (cpu.v86()) {
    s = v86_segment(selector);
  } else if (which == SegReg::kSs) {
    s = checked_stack_segment(*this, selector);
  } else {
    s = checked_data_segment(*this, selector);
  }
  update_segment(which);
}

namespace {

/// MOV SS and POP SS: no interrupts and debug traps until after the next instruction.
void shadow_after_ss(Interp& interp) {
  interp.cpu.interrupt_shadow = CpuState::Shadow::kMovSs;
  interp.end_block();
}

SegReg sreg_of(const Insn& insn) {
  return static_cast<SegReg>((insn.modrm >> 3) & 7);
}

void mov_to_sreg(Interp& interp, const Insn& insn) {
  const SegReg which = sreg_of(insn);
  interp.load_segment(which, interp.read_rm<uint16_t>(insn));
  if (which == SegReg::kSs) shadow_after_ss(interp);
}

void mov_from_sreg(Interp& interp, const Insn& insn) {
  const uint16_t selector = interp.cpu.segment(sreg_of(insn)).selector;
  if (insn.is_memory() || insn.operand_size == 2) {
    interp.write_rm<uint16_t>(insn, selector);
  } else {
    interp.write_rm<uint32_t>(insn, selector);
  }
}

template <SegReg which>
void push_sreg(Interp& interp, const Insn& insn) {
  const uint16_t selector = interp.cpu.segment(which).selector;
  if (insn.operand_size == 2) {
    interp.push(2, selector);
    return;
  }
  // A 32-bit push of a segment register writes two bytes and leaves the upper two as they are.
  const uint64_t offset = (interp.cpu.reg(Gpr::kRsp) - insn.operand_size) & interp.stack_mask();
  interp.write<uint16_t>(SegReg::kSs, offset, selector);
  interp.set_stack_pointer(offset);
}

template <SegReg which>
void pop_sreg(Interp& interp, const Insn& insn) {
  const uint64_t mask = interp.stack_mask();  // of the old stack, also for POP SS
  const uint64_t rsp = interp.cpu.reg(Gpr::kRsp);
  interp.load_segment(which, interp.read<uint16_t>(SegReg::kSs, rsp & mask));
  interp.cpu.reg(Gpr::kRsp) = (rsp & ~mask & 0xffffffff) | ((rsp + insn.operand_size) & mask);
  if (which == SegReg::kSs) shadow_after_ss(interp);
}

SegReg sreg_of_opcode(uint8_t opcode) {
  return static_cast<SegReg>((opcode >> 3) & 7);
}

template <SegReg which>
void load_far_pointer(Interp& interp, const Insn& insn) {
  const uint64_t offset = interp.effective_address(insn);
  const uint64_t mask = ~uint64_t{0} >> (64 - 8 * insn.address_size);
  if (insn.operand_size == 2) {
    const uint16_t value = interp.read<uint16_t>(insn.segment, offset);
    interp.load_segment(which, interp.read<uint16_t>(insn.segment, (offset + 2) & mask));
    interp.set_reg<uint16_t>(insn.reg(), insn, value);
  } else {
    const uint32_t value = interp.read<uint32_t>(insn.segment, offset);
    interp.load_segment(which, interp.read<uint16_t>(insn.segment, (offset + 4) & mask));
    interp.set_reg<uint32_t>(insn.reg(), insn, value);
  }
}

template <SegReg which>
Handler bind_far_pointer(const Insn& insn) {
  return insn.is_memory() ? load_far_pointer<which> : ud_handler();
}

void set_zf(Interp& interp, bool value) {
  interp.cpu.rflags = (interp.cpu.rflags & ~rflags::kZf) | (value ? rflags::kZf : 0);
}

void arpl(Interp& interp, const Insn& insn) {
  if (interp.cpu.real_or_v86()) throw_ud();
  // What needs no change need not be writable.
  const uint16_t destination = interp.read_rm<uint16_t>(insn);
  const unsigned wanted = interp.reg<uint16_t>(insn.reg(), insn) & 3u;
  const bool raise = (destination & 3u) < wanted;
  if (raise) interp.write_rm<uint16_t>(insn, static_cast<uint16_t>((destination & ~3u) | wanted));
  set_zf(interp, raise);
}

/// The descriptor, if LAR and the like may see it: SDM 3A 5.10.
std::optional<Descriptor> visible_descriptor(Interp& interp, uint16_t selector) {
  if (is_null(selector)) return std::nullopt;
  auto descriptor = read_descriptor(interp, selector);
  if (!descriptor) return std::nullopt;
  if (!descriptor->is_conforming() &&
      (interp.cpl() > descriptor->dpl() || rpl_of(selector) > descriptor->dpl())) {
    return std::nullopt;
  }
  return descriptor;
}

constexpr uint32_t kLarTypes = 1u << system_type::kTss286 | 1u << system_type::kLdt |
                               1u << system_type::kTss286Busy | 1u << system_type::kCallGate286 |
                               1u << system_type::kTaskGate | 1u << system_type::kTss386 |
                               1u << system_type::kTss386Busy | 1u << system_type::kCallGate386;
constexpr uint32_t kLslTypes = 1u << system_type::kTss286 | 1u << system_type::kLdt |
                               1u << system_type::kTss286Busy | 1u << system_type::kTss386 |
                               1u << system_type::kTss386Busy;

template <uint32_t system_types, class Value>
void load_from_descriptor(Interp& interp, const Insn& insn, Value value) {
  if (interp.cpu.real_or_v86()) throw_ud();
  auto descriptor = visible_descriptor(interp, interp.read_rm<uint16_t>(insn));
  if (descriptor && descriptor->is_system() && !((system_types >> descriptor->type()) & 1))
    descriptor.reset();
  set_zf(interp, descriptor.has_value());
  if (!descriptor) return;
  if (insn.operand_size == 2) {
    interp.set_reg<uint16_t>(insn.reg(), insn, static_cast<uint16_t>(value(*descriptor)));
  } else {
    interp.set_reg<uint32_t>(insn.reg(), insn, value(*descriptor));
  }
}

void lar(Interp& interp, const Insn& insn) {
  load_from_descriptor<kLarTypes>(interp, insn, [](const Descriptor& d) { return d.high & 0x00ffff00; });
}

void lsl(Interp& interp, const Insn& insn) {
  load_from_descriptor<kLslTypes>(interp, insn, [](const Descriptor& d) { return d.limit(); });
}

template <bool write>
void verify(Interp& interp, const Insn& insn) {
  if (interp.cpu.real_or_v86()) throw_ud();
  set_zf(interp, interp.verify_segment(interp.read_rm<uint16_t>(insn), write));
}

}  // namespace

bool Interp::verify_segment(uint16_t selector, bool write) {
  const auto descriptor = visible_descriptor(*this, selector);
  return descriptor && (write ? descriptor->is_writable_data() : descriptor->is_readable());
}

namespace bind {

Handler MOV_SREG(const Insn& insn) {
  const SegReg which = sreg_of(insn);
  if (which > SegReg::kGs) return ud_handler();
  if (insn.opcode == 0x8c) return mov_from_sreg;
  return which == SegReg::kCs ? ud_handler() : mov_to_sreg;
}

Handler PUSH_SREG(const Insn& insn) {
  constexpr Handler kHandlers[] = {push_sreg<SegReg::kEs>, push_sreg<SegReg::kCs>, push_sreg<SegReg::kSs>,
                                   push_sreg<SegReg::kDs>, push_sreg<SegReg::kFs>, push_sreg<SegReg::kGs>};
  return kHandlers[static_cast<unsigned>(sreg_of_opcode(insn.opcode))];
}

Handler POP_SREG(const Insn& insn) {
  constexpr Handler kHandlers[] = {pop_sreg<SegReg::kEs>, nullptr,
                                   pop_sreg<SegReg::kSs>, pop_sreg<SegReg::kDs>,
                                   pop_sreg<SegReg::kFs>, pop_sreg<SegReg::kGs>};
  return kHandlers[static_cast<unsigned>(sreg_of_opcode(insn.opcode))];
}

Handler LES(const Insn& insn) {
  return bind_far_pointer<SegReg::kEs>(insn);
}
Handler LDS(const Insn& insn) {
  return bind_far_pointer<SegReg::kDs>(insn);
}
Handler LSS(const Insn& insn) {
  return bind_far_pointer<SegReg::kSs>(insn);
}
Handler LFS(const Insn& insn) {
  return bind_far_pointer<SegReg::kFs>(insn);
}
Handler LGS(const Insn& insn) {
  return bind_far_pointer<SegReg::kGs>(insn);
}
Handler ARPL(const Insn&) {
  return arpl;
}
Handler LAR(const Insn&) {
  return lar;
}
Handler LSL(const Insn&) {
  return lsl;
}
Handler VERR(const Insn&) {
  return verify<false>;
}
Handler VERW(const Insn&) {
  return verify<true>;
}

}  // namespace bind

}  // namespace vireo::interp
