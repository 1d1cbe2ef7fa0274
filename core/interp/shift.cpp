// SHL SHR SAR ROL ROR RCL RCR SHLD SHRD.
#include "core/interp/host_ops.h"
#include "core/interp/operands.h"

namespace vireo::interp {

namespace {

template <class Op, class T, class Dest, class Count>
void shift(Interp& interp, const Insn& insn) {
  const uint8_t count = Count::template get<uint8_t>(interp, insn);
  modify<Dest, T>(interp, insn, [&](T dest) { return Op::template run<T>(dest, count, interp.cpu.rflags); });
}

/// ROL and ROR of a register by an immediate other than 1 leave OF alone on Intel's CPUs, unlike those by CL
/// and those in memory; AMD's treat all alike.
bool rotate_by_immediate_keeps_of() {
  static const bool keeps = [] {
    uint32_t value = 1;
    bool of;
    asm("addb $0x7f, %%al\n\troll $13, %[value]" : [value] "+r"(value), "=@cco"(of) : "a"(1));
    return of;
  }();
  return keeps;
}

template <class Op, class T>
void rotate_register_by_immediate(Interp& interp, const Insn& insn) {
  const uint64_t of = interp.cpu.rflags & rflags::kOf;
  shift<Op, T, RmRegister, Immediate>(interp, insn);
  interp.cpu.rflags = (interp.cpu.rflags & ~rflags::kOf) | of;
}

template <class Op, class T, class Dest>
void shift_by_one(Interp& interp, const Insn& insn) {
  modify<Dest, T>(interp, insn, [&](T dest) { return Op::template by_one<T>(dest, interp.cpu.rflags); });
}

template <class Op>
Handler bind_shift(const Insn& insn) {
  constexpr bool kRotate = std::is_same_v<Op, host::Rol> || std::is_same_v<Op, host::Ror>;
  Form form = form_of(insn);
  const uint64_t count_mask = form.size == 8 ? 63 : 31;
  if (kRotate && form.kind == FormKind::kRmImm && (insn.imm & count_mask) == 1) form.kind = FormKind::kRmOne;
  return with_size(form.size, [&]<class T>(T) -> Handler {
    return with_rm(insn, [&]<class Dest>(Dest) -> Handler {
      switch (form.kind) {
        case FormKind::kRmOne:
          return shift_by_one<Op, T, Dest>;
        case FormKind::kRmCl:
          return shift<Op, T, Dest, RegisterCl>;
        case FormKind::kRmImm:
          if constexpr (kRotate && std::is_same_v<Dest, RmRegister>)
            if (rotate_by_immediate_keeps_of()) return rotate_register_by_immediate<Op, T>;
          return shift<Op, T, Dest, Immediate>;
        default:
          return ud_handler();
      }
    });
  });
}

template <class Op, class T, class Dest, class Count>
void double_shift(Interp& interp, const Insn& insn) {
  const T source = interp.reg<T>(insn.reg(), insn);
  const uint8_t count = Count::template get<uint8_t>(interp, insn);
  modify<Dest, T>(interp, insn,
                  [&](T dest) { return Op::template run<T>(dest, source, count, interp.cpu.rflags); });
}

template <class Op>
Handler bind_double_shift(const Insn& insn) {
  const bool by_cl = form_of(insn).kind == FormKind::kRmRegCl;
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    return with_rm(insn, [&]<class Dest>(Dest) -> Handler {
      return by_cl ? double_shift<Op, T, Dest, RegisterCl> : double_shift<Op, T, Dest, Immediate>;
    });
  });
}

}  // namespace

namespace bind {

Handler SHL(const Insn& insn) {
  return bind_shift<host::Shl>(insn);
}
Handler SHR(const Insn& insn) {
  return bind_shift<host::Shr>(insn);
}
Handler SAR(const Insn& insn) {
  return bind_shift<host::Sar>(insn);
}
Handler ROL(const Insn& insn) {
  return bind_shift<host::Rol>(insn);
}
Handler ROR(const Insn& insn) {
  return bind_shift<host::Ror>(insn);
}
Handler RCL(const Insn& insn) {
  return bind_shift<host::Rcl>(insn);
}
Handler RCR(const Insn& insn) {
  return bind_shift<host::Rcr>(insn);
}
Handler SHLD(const Insn& insn) {
  return bind_double_shift<host::Shld>(insn);
}
Handler SHRD(const Insn& insn) {
  return bind_double_shift<host::Shrd>(insn);
}

}  // namespace bind

}  // namespace vireo::interp
