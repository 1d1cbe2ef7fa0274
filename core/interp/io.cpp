// Port I/O: IN OUT INS OUTS, the permission bitmap of the TSS, I/O breakpoints. Source: SDM 1 chapter 18.
#include "core/interp/handlers.h"
#include "core/interp/interp_impl.h"
#include "core/interp/protection.h"

namespace vireo::interp {

void Interp::check_io(uint16_t port, unsigned size) {
  if (!cpu.protected_mode() || (!cpu.v86() && cpu.cpl <= cpu.iopl())) return;
  const Segment& tr = cpu.tr;
  if (!(tr.type() & 8) || tr.limit < 103) throw_gp(0);
  // The processor reads two bytes, so that it sees all bits of a port that is not aligned.
  const uint32_t offset = read_system<uint16_t>({tr.base + 102}) + port / 8u;
  if (offset + 1 > tr.limit) throw_gp(0);
  const unsigned bits = read_system<uint16_t>({tr.base + offset}) >> (port % 8);
  if (bits & ((1u << size) - 1)) throw_gp(0);
}

uint32_t Interp::port_in(uint16_t port, unsigned size) {
  check_io(port, size);
  cpu.pending_dr6 |= impl_->match_breakpoints(impl_->breakpoints.io, port, size, true);
  if (cpu.pending_dr6 != 0) end_block();
  const FetchWatch watch(*this);  // DMA
  return context.ports.read(port, size);
}

void Interp::port_out(uint16_t port, unsigned size, uint32_t value) {
  check_io(port, size);
  cpu.pending_dr6 |= impl_->match_breakpoints(impl_->breakpoints.io, port, size, true);
  if (cpu.pending_dr6 != 0) end_block();
  const FetchWatch watch(*this);
  context.ports.write(port, size, value);
}

namespace {

uint16_t dx(const Interp& interp) {
  return static_cast<uint16_t>(interp.cpu.reg(Gpr::kRdx));
}

template <class T, bool immediate>
void in(Interp& interp, const Insn& insn) {
  const uint16_t port = immediate ? static_cast<uint8_t>(insn.imm) : dx(interp);
  interp.set_reg<T>(0, insn, static_cast<T>(interp.port_in(port, sizeof(T))));
}

template <class T, bool immediate>
void out(Interp& interp, const Insn& insn) {
  const uint16_t port = immediate ? static_cast<uint8_t>(insn.imm) : dx(interp);
  interp.port_out(port, sizeof(T), interp.reg<T>(0, insn));
}

/// A is the address size's type. One element; rCX is the caller's.
template <class T, class A>
void ins_element(Interp& interp, const Insn& insn) {
  const A offset = interp.reg<A>(7, insn);
  interp.check_io(dx(interp), sizeof(T));
  interp.probe_write(SegReg::kEs, offset, sizeof(T));
  interp.write<T>(SegReg::kEs, offset, static_cast<T>(interp.port_in(dx(interp), sizeof(T))));
  const bool down = interp.cpu.rflags & rflags::kDf;
  interp.set_reg<A>(7, insn, static_cast<A>(down ? offset - sizeof(T) : offset + sizeof(T)));
}

template <class T, class A>
void outs_element(Interp& interp, const Insn& insn) {
  const A offset = interp.reg<A>(6, insn);
  interp.check_io(dx(interp), sizeof(T));
  interp.port_out(dx(interp), sizeof(T), interp.read<T>(insn.segment, offset));
  const bool down = interp.cpu.rflags & rflags::kDf;
  interp.set_reg<A>(6, insn, static_cast<A>(down ? offset - sizeof(T) : offset + sizeof(T)));
}

template <class T, class A, Handler element>
void repeat(Interp& interp, const Insn& insn) {
  A count = interp.reg<A>(1, insn);
  if (count == 0) interp.check_io(dx(interp), sizeof(T));
  while (count != 0) {
    element(interp, insn);
    --count;
    interp.set_reg<A>(1, insn, count);
    if (count != 0 && interp.rep_must_pause()) {
      interp.pause_rep();
      return;
    }
  }
}

template <template <class, class> class Element, class A>
Handler bind_element(const Insn& insn);

template <class T, class A>
struct Ins {
  static constexpr Handler kElement = ins_element<T, A>;
};
template <class T, class A>
struct Outs {
  static constexpr Handler kElement = outs_element<T, A>;
};

template <template <class, class> class Element, class A>
Handler bind_element(const Insn& insn) {
  const bool rep = insn.rep();
  if ((insn.opcode & 1) == 0)
    return rep ? repeat<uint8_t, A, Element<uint8_t, A>::kElement> : Element<uint8_t, A>::kElement;
  if (insn.operand_size == 2) {
    return rep ? repeat<uint16_t, A, Element<uint16_t, A>::kElement> : Element<uint16_t, A>::kElement;
  }
  return rep ? repeat<uint32_t, A, Element<uint32_t, A>::kElement> : Element<uint32_t, A>::kElement;
}

template <template <class, class> class Element>
Handler bind_string(const Insn& insn) {
  switch (insn.address_size) {
    case 2:
      return bind_element<Element, uint16_t>(insn);
    case 4:
      return bind_element<Element, uint32_t>(insn);
    default:
      return bind_element<Element, uint64_t>(insn);
  }
}

}  // namespace

namespace bind {

Handler IN(const Insn& insn) {
  const bool immediate = insn.opcode < 0xe8;
  if ((insn.opcode & 1) == 0) return immediate ? in<uint8_t, true> : in<uint8_t, false>;
  if (insn.operand_size == 2) return immediate ? in<uint16_t, true> : in<uint16_t, false>;
  return immediate ? in<uint32_t, true> : in<uint32_t, false>;
}

Handler OUT(const Insn& insn) {
  const bool immediate = insn.opcode < 0xe8;
  if ((insn.opcode & 1) == 0) return immediate ? out<uint8_t, true> : out<uint8_t, false>;
  if (insn.operand_size == 2) return immediate ? out<uint16_t, true> : out<uint16_t, false>;
  return immediate ? out<uint32_t, true> : out<uint32_t, false>;
}

Handler INS(const Insn& insn) {
  return bind_string<Ins>(insn);
}
Handler OUTS(const Insn& insn) {
  return bind_string<Outs>(insn);
}

}  // namespace bind

}  // namespace vireo::interp
