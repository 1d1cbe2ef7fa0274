// Near control transfers: JCC JMP CALL RET JCXZ LOOP LOOPE LOOPNE; BOUND, NOP, PAUSE, PREFETCH.
#include "core/interp/host_ops.h"
#include "core/interp/operands.h"

namespace vireo::interp {

namespace {

/// T is the operand size, to which the instruction pointer is truncated.
template <class T>
uint64_t relative_target(const Interp& interp, const Insn& insn) {
  return static_cast<T>(interp.next_rip + insn.imm);
}

template <unsigned cc, class T>
void jcc(Interp& interp, const Insn& insn) {
  if (host::condition<cc>(interp.cpu.rflags)) interp.jump_near(relative_target<T>(interp, insn));
}

template <class T>
void jmp_relative(Interp& interp, const Insn& insn) {
  interp.jump_near(relative_target<T>(interp, insn));
}

template <class T, class Source>
void jmp_indirect(Interp& interp, const Insn& insn) {
  interp.jump_near(Source::template get<T>(interp, insn));
}

/// The return address is in memory before the target's limit is checked, but the stack pointer moves after
/// that.
template <class T>
void call_to(Interp& interp, T target) {
  const uint64_t offset = (interp.cpu.reg(Gpr::kRsp) - sizeof(T)) & interp.stack_mask();
  interp.write<T>(SegReg::kSs, offset, static_cast<T>(interp.next_rip));
  interp.jump_near(target);
  interp.set_stack_pointer(offset);
}

template <class T>
void call_relative(Interp& interp, const Insn& insn) {
  call_to<T>(interp, static_cast<T>(relative_target<T>(interp, insn)));
}

template <class T, class Source>
void call_indirect(Interp& interp, const Insn& insn) {
  call_to<T>(interp, Source::template get<T>(interp, insn));
}

template <class T>
void ret(Interp& interp, const Insn& insn) {
  const uint64_t offset = interp.cpu.reg(Gpr::kRsp) & interp.stack_mask();
  interp.jump_near(interp.read<T>(SegReg::kSs, offset));
  interp.set_stack_pointer(offset + sizeof(T) + static_cast<uint16_t>(insn.imm));
}

/// rCX by address size A; the branch by operand size T. When the branch faults, rCX is unchanged.
template <class T, class A, class Condition>
void loop(Interp& interp, const Insn& insn) {
  const A count = static_cast<A>(interp.reg<A>(1, insn) - 1);
  if (count != 0 && Condition::holds(interp.cpu.rflags)) interp.jump_near(relative_target<T>(interp, insn));
  interp.set_reg<A>(1, insn, count);
}

struct Always {
  static bool holds(uint64_t) { return true; }
};
struct WhileEqual {
  static bool holds(uint64_t flags) { return flags & rflags::kZf; }
};
struct WhileNotEqual {
  static bool holds(uint64_t flags) { return !(flags & rflags::kZf); }
};

template <class T, class A>
void jcxz(Interp& interp, const Insn& insn) {
  if (interp.reg<A>(1, insn) == 0) interp.jump_near(relative_target<T>(interp, insn));
}

template <class T>
void bound(Interp& interp, const Insn& insn) {
  using S = std::make_signed_t<T>;
  const uint64_t offset = interp.effective_address(insn);
  const uint64_t upper_offset = (offset + sizeof(T)) & (~uint64_t{0} >> (64 - 8 * insn.address_size));
  const S index = static_cast<S>(interp.reg<T>(insn.reg(), insn));
  if (index < interp.read<S>(insn.segment, offset)) throw_br();
  if (index > interp.read<S>(insn.segment, upper_offset)) throw_br();
}

void nop(Interp&, const Insn&) {}

template <class Condition>
Handler bind_loop(const Insn& insn) {
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    return with_word_size(insn.address_size, []<class A>(A) -> Handler { return loop<T, A, Condition>; });
  });
}

}  // namespace

namespace bind {

Handler JCC(const Insn& insn) {
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    return with_condition(insn, []<unsigned cc>() -> Handler { return jcc<cc, T>; });
  });
}

Handler JMP(const Insn& insn) {
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    if (form_of(insn).kind == FormKind::kRelative) return jmp_relative<T>;
    return insn.is_memory() ? jmp_indirect<T, Memory> : jmp_indirect<T, RmRegister>;
  });
}

Handler CALL(const Insn& insn) {
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    if (form_of(insn).kind == FormKind::kRelative) return call_relative<T>;
    return insn.is_memory() ? call_indirect<T, Memory> : call_indirect<T, RmRegister>;
  });
}

Handler RET(const Insn& insn) {
  return with_word_size(insn.operand_size, []<class T>(T) -> Handler { return ret<T>; });
}

Handler JCXZ(const Insn& insn) {
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    return with_word_size(insn.address_size, []<class A>(A) -> Handler { return jcxz<T, A>; });
  });
}

Handler LOOP(const Insn& insn) {
  return bind_loop<Always>(insn);
}
Handler LOOPE(const Insn& insn) {
  return bind_loop<WhileEqual>(insn);
}
Handler LOOPNE(const Insn& insn) {
  return bind_loop<WhileNotEqual>(insn);
}

Handler BOUND(const Insn& insn) {
  return insn.operand_size == 2 ? bound<uint16_t> : bound<uint32_t>;
}

Handler NOP(const Insn&) {
  return nop;
}
Handler PAUSE(const Insn&) {
  return nop;
}
Handler PREFETCH(const Insn&) {
  return nop;
}

}  // namespace bind

}  // namespace vireo::interp
