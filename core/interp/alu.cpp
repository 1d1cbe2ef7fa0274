// ADD OR ADC SBB AND SUB XOR CMP TEST INC DEC NEG NOT, and the locked read-modify-writes XADD, CMPXCHG,
// CMPXCHG8B.
#include "core/interp/host_ops.h"
#include "core/interp/operands.h"

namespace vireo::interp {

namespace {

template <class Op, class T, class Dest, class Source>
void binary(Interp& interp, const Insn& insn) {
  const T source = Source::template get<T>(interp, insn);
  modify<Dest, T>(interp, insn, [&](T dest) { return Op::template run<T>(dest, source, interp.cpu.rflags); });
}

template <class Op, class T, class Dest, class Source>
void compare(Interp& interp, const Insn& insn) {
  const T source = Source::template get<T>(interp, insn);
  Op::template run<T>(Dest::template get<T>(interp, insn), source, interp.cpu.rflags);
}

template <class Op, class T, class Dest>
void unary(Interp& interp, const Insn& insn) {
  modify<Dest, T>(interp, insn, [&](T dest) { return Op::template run<T>(dest, interp.cpu.rflags); });
}

/// `make` gets <T, Dest, Source> for the operands of a two-operand row.
template <class F>
Handler with_operands(const Insn& insn, F make) {
  const Form form = form_of(insn);
  return with_size(form.size, [&]<class T>(T size) -> Handler {
    switch (form.kind) {
      case FormKind::kRmReg:
        return insn.is_memory() ? make(size, Memory{}, RegRegister{})
                                : make(size, RmRegister{}, RegRegister{});
      case FormKind::kRegRm:
        return insn.is_memory() ? make(size, RegRegister{}, Memory{})
                                : make(size, RegRegister{}, RmRegister{});
      case FormKind::kRmImm:
        return insn.is_memory() ? make(size, Memory{}, Immediate{}) : make(size, RmRegister{}, Immediate{});
      case FormKind::kAccumulatorImm:
        return make(size, Accumulator{}, Immediate{});
      default:
        return ud_handler();
    }
  });
}

template <class Op>
Handler bind_binary(const Insn& insn) {
  return with_operands(insn, []<class T, class Dest, class Source>(T, Dest, Source) -> Handler {
    return binary<Op, T, Dest, Source>;
  });
}

template <class Op>
Handler bind_compare(const Insn& insn) {
  return with_operands(insn, []<class T, class Dest, class Source>(T, Dest, Source) -> Handler {
    return compare<Op, T, Dest, Source>;
  });
}

template <class Op>
Handler bind_unary(const Insn& insn) {
  const Form form = form_of(insn);
  return with_size(form.size, [&]<class T>(T) -> Handler {
    if (form.kind == FormKind::kOpcodeReg) return unary<Op, T, OpcodeRegister>;
    return insn.is_memory() ? unary<Op, T, Memory> : unary<Op, T, RmRegister>;
  });
}

template <class T, class Dest>
void xadd(Interp& interp, const Insn& insn) {
  T old{};
  T source = interp.reg<T>(insn.reg(), insn);
  if constexpr (std::is_same_v<Dest, Memory>) {
    modify<Dest, T>(interp, insn, [&](T dest) {
      old = dest;
      return host::Add::run<T>(dest, source, interp.cpu.rflags);
    });
    interp.set_reg<T>(insn.reg(), insn, old);
  } else {
    // With the same register twice the sum wins, so the destination is written last.
    old = Dest::template get<T>(interp, insn);
    interp.set_reg<T>(insn.reg(), insn, old);
    Dest::template set<T>(interp, insn, host::Add::run<T>(old, source, interp.cpu.rflags));
  }
}

template <class T, class Dest>
void cmpxchg(Interp& interp, const Insn& insn) {
  const T expected = interp.reg<T>(0, insn);
  const T source = interp.reg<T>(insn.reg(), insn);
  T old{};
  if constexpr (std::is_same_v<Dest, Memory>) {
    // The destination is written in either case (SDM 2A, CMPXCHG), so it must be writable.
    modify<Dest, T>(interp, insn, [&](T dest) {
      old = dest;
      return dest == expected ? source : dest;
    });
  } else {
    old = Dest::template get<T>(interp, insn);
    if (old == expected) Dest::template set<T>(interp, insn, source);
  }
  host::Cmp::run<T>(expected, old, interp.cpu.rflags);
  if (old != expected) interp.set_reg<T>(0, insn, old);
}

template <class Half>
void cmpxchg_pair(Interp& interp, const Insn& insn) {
  struct Pair {
    Half low, high;
  };
  const uint64_t offset = interp.effective_address(insn);
  if (sizeof(Half) == 8 && (interp.cpu.segment(insn.segment).base + offset) % 16 != 0) throw_gp();
  Pair value = interp.read_for_write<Pair>(insn.segment, offset);
  const Half expected_low = interp.reg<Half>(0, insn), expected_high = interp.reg<Half>(2, insn);
  const bool equal = value.low == expected_low && value.high == expected_high;
  const Pair old = value;
  if (equal) value = {interp.reg<Half>(3, insn), interp.reg<Half>(1, insn)};
  interp.write<Pair>(insn.segment, offset, value);
  if (equal) {
    interp.cpu.rflags |= rflags::kZf;
  } else {
    interp.cpu.rflags &= ~rflags::kZf;
    interp.set_reg<Half>(0, insn, old.low);
    interp.set_reg<Half>(2, insn, old.high);
  }
}

}  // namespace

namespace bind {

Handler ADD(const Insn& insn) {
  return bind_binary<host::Add>(insn);
}
Handler OR(const Insn& insn) {
  return bind_binary<host::Or>(insn);
}
Handler ADC(const Insn& insn) {
  return bind_binary<host::Adc>(insn);
}
Handler SBB(const Insn& insn) {
  return bind_binary<host::Sbb>(insn);
}
Handler AND(const Insn& insn) {
  return bind_binary<host::And>(insn);
}
Handler SUB(const Insn& insn) {
  return bind_binary<host::Sub>(insn);
}
Handler XOR(const Insn& insn) {
  return bind_binary<host::Xor>(insn);
}
Handler CMP(const Insn& insn) {
  return bind_compare<host::Cmp>(insn);
}
Handler TEST(const Insn& insn) {
  return bind_compare<host::Test>(insn);
}
Handler INC(const Insn& insn) {
  return bind_unary<host::Inc>(insn);
}
Handler DEC(const Insn& insn) {
  return bind_unary<host::Dec>(insn);
}
Handler NEG(const Insn& insn) {
  return bind_unary<host::Neg>(insn);
}
Handler NOT(const Insn& insn) {
  return bind_unary<host::Not>(insn);
}

Handler XADD(const Insn& insn) {
  return with_size(form_of(insn).size, [&]<class T>(T) -> Handler {
    return insn.is_memory() ? xadd<T, Memory> : xadd<T, RmRegister>;
  });
}

Handler CMPXCHG(const Insn& insn) {
  return with_size(form_of(insn).size, [&]<class T>(T) -> Handler {
    return insn.is_memory() ? cmpxchg<T, Memory> : cmpxchg<T, RmRegister>;
  });
}

Handler CMPXCHG8B(const Insn& insn) {
  return insn.is_memory() ? cmpxchg_pair<uint32_t> : ud_handler();
}
Handler CMPXCHG16B(const Insn& insn) {
  return insn.is_memory() ? cmpxchg_pair<uint64_t> : ud_handler();
}

}  // namespace bind

}  // namespace vireo::interp
