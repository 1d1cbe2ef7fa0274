// MOV XCHG LEA MOVZX MOVSX MOVSXD CBW CWD BSWAP MOVBE MOVNTI XLAT SALC SETCC CMOVCC.
#include <type_traits>
#include <utility>

#include "core/interp/host_ops.h"
#include "core/interp/operands.h"

namespace vireo::interp {

namespace {

template <class T, class Dest, class Source>
void move(Interp& interp, const Insn& insn) {
  Dest::template set<T>(interp, insn, Source::template get<T>(interp, insn));
}

/// With the same register twice, XCHG changes nothing either way round.
template <class T, class Dest, class Source>
void exchange(Interp& interp, const Insn& insn) {
  const T source = Source::template get<T>(interp, insn);
  T old{};
  modify<Dest, T>(interp, insn, [&](T dest) {
    old = dest;
    return source;
  });
  Source::template set<T>(interp, insn, old);
}

template <class T>
void lea(Interp& interp, const Insn& insn) {
  interp.set_reg<T>(insn.reg(), insn, static_cast<T>(interp.effective_address(insn)));
}

template <class To, class From, class Source>
void extend(Interp& interp, const Insn& insn) {
  using Unsigned = std::make_unsigned_t<From>;
  const From value = static_cast<From>(Source::template get<Unsigned>(interp, insn));
  interp.set_reg<To>(insn.reg(), insn, static_cast<To>(value));
}

template <bool sign, class To>
Handler bind_extend_to(const Insn& insn) {
  return with_rm(insn, [&]<class Source>(Source) -> Handler {
    switch (form_of(insn).source_size) {
      case 1:
        return extend<To, std::conditional_t<sign, int8_t, uint8_t>, Source>;
      case 2:
        return extend<To, std::conditional_t<sign, int16_t, uint16_t>, Source>;
      case 4:
        return extend<To, std::conditional_t<sign, int32_t, uint32_t>, Source>;
      default:
        return ud_handler();
    }
  });
}

template <bool sign>
Handler bind_extend(const Insn& insn) {
  return with_word_size(insn.operand_size,
                        [&]<class T>(T) -> Handler { return bind_extend_to<sign, T>(insn); });
}

template <class T>
void bswap(Interp& interp, const Insn& insn) {
  T value = interp.reg<T>(insn.opcode_reg(), insn);
  if constexpr (sizeof(T) == 2) {
    asm(".byte 0x66, 0x0f, 0xc8" : "+a"(value));  // undefined by the SDM; whatever the host does
  } else {
    asm("bswap %0" : "+r"(value));
  }
  interp.set_reg<T>(insn.opcode_reg(), insn, value);
}

template <class T>
T reverse_bytes(T value) {
  if constexpr (sizeof(T) == 2) {
    return __builtin_bswap16(value);
  } else if constexpr (sizeof(T) == 4) {
    return __builtin_bswap32(value);
  } else {
    return __builtin_bswap64(value);
  }
}

template <class T, class Dest, class Source>
void movbe(Interp& interp, const Insn& insn) {
  Dest::template set<T>(interp, insn, reverse_bytes<T>(Source::template get<T>(interp, insn)));
}

template <class T, class Half>
void cbw(Interp& interp, const Insn& insn) {
  interp.set_reg<T>(0, insn,
                    static_cast<T>(static_cast<std::make_signed_t<Half>>(interp.reg<Half>(0, insn))));
}

template <class T>
void cwd(Interp& interp, const Insn& insn) {
  const bool negative = static_cast<std::make_signed_t<T>>(interp.reg<T>(0, insn)) < 0;
  interp.set_reg<T>(2, insn, static_cast<T>(negative ? ~T{0} : T{0}));
}

void xlat(Interp& interp, const Insn& insn) {
  const uint64_t mask = ~uint64_t{0} >> (64 - 8 * insn.address_size);
  const uint64_t offset =
      (interp.cpu.reg(Gpr::kRbx) + static_cast<uint8_t>(interp.cpu.reg(Gpr::kRax))) & mask;
  interp.set_reg<uint8_t>(0, insn, interp.read<uint8_t>(insn.segment, offset));
}

void salc(Interp& interp, const Insn& insn) {
  interp.set_reg<uint8_t>(0, insn, interp.cpu.rflags & rflags::kCf ? 0xff : 0);
}

template <unsigned cc, class Dest>
void setcc(Interp& interp, const Insn& insn) {
  Dest::template set<uint8_t>(interp, insn, host::condition<cc>(interp.cpu.rflags));
}

/// The source is read, and may fault, whatever the condition.
template <unsigned cc, class T, class Source>
void cmovcc(Interp& interp, const Insn& insn) {
  const T source = Source::template get<T>(interp, insn);
  const T old = interp.reg<T>(insn.reg(), insn);
  interp.set_reg<T>(insn.reg(), insn, host::condition<cc>(interp.cpu.rflags) ? source : old);
}

}  // namespace

namespace bind {

Handler MOV(const Insn& insn) {
  const Form form = form_of(insn);
  return with_size(form.size, [&]<class T>(T) -> Handler {
    const bool memory = insn.is_memory();
    switch (form.kind) {
      case FormKind::kRmReg:
        return memory ? move<T, Memory, RegRegister> : move<T, RmRegister, RegRegister>;
      case FormKind::kRegRm:
        return memory ? move<T, RegRegister, Memory> : move<T, RegRegister, RmRegister>;
      case FormKind::kRmImm:
        return memory ? move<T, Memory, Immediate> : move<T, RmRegister, Immediate>;
      case FormKind::kOpcodeRegImm:
        return move<T, OpcodeRegister, Immediate>;
      case FormKind::kAccumulatorMoffs:
        return move<T, Accumulator, Memory>;
      case FormKind::kMoffsAccumulator:
        return move<T, Memory, Accumulator>;
      default:
        return ud_handler();
    }
  });
}

Handler MOVNTI(const Insn& insn) {
  return with_word_size(form_of(insn).size,
                        []<class T>(T) -> Handler { return move<T, Memory, RegRegister>; });
}

Handler XCHG(const Insn& insn) {
  const Form form = form_of(insn);
  return with_size(form.size, [&]<class T>(T) -> Handler {
    if (form.kind == FormKind::kOpcodeRegAccumulator) return exchange<T, OpcodeRegister, Accumulator>;
    return insn.is_memory() ? exchange<T, Memory, RegRegister> : exchange<T, RmRegister, RegRegister>;
  });
}

Handler LEA(const Insn& insn) {
  return with_word_size(insn.operand_size, []<class T>(T) -> Handler { return lea<T>; });
}

Handler MOVZX(const Insn& insn) {
  return bind_extend<false>(insn);
}
Handler MOVSX(const Insn& insn) {
  return bind_extend<true>(insn);
}
Handler MOVSXD(const Insn& insn) {
  return bind_extend<true>(insn);
}

Handler BSWAP(const Insn& insn) {
  return with_word_size(insn.operand_size, []<class T>(T) -> Handler { return bswap<T>; });
}

Handler MOVBE(const Insn& insn) {
  const bool load = form_of(insn).kind == FormKind::kRegRm;
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    return load ? movbe<T, RegRegister, Memory> : movbe<T, Memory, RegRegister>;
  });
}

Handler CBW(const Insn& insn) {
  switch (insn.operand_size) {
    case 2:
      return cbw<uint16_t, uint8_t>;
    case 4:
      return cbw<uint32_t, uint16_t>;
    default:
      return cbw<uint64_t, uint32_t>;
  }
}

Handler CWD(const Insn& insn) {
  return with_word_size(insn.operand_size, []<class T>(T) -> Handler { return cwd<T>; });
}

Handler XLAT(const Insn&) {
  return xlat;
}
Handler SALC(const Insn&) {
  return salc;
}

Handler SETCC(const Insn& insn) {
  return with_rm(insn, [&]<class Dest>(Dest) -> Handler {
    return with_condition(insn, []<unsigned cc>() -> Handler { return setcc<cc, Dest>; });
  });
}

Handler CMOVCC(const Insn& insn) {
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    return with_rm(insn, [&]<class Source>(Source) -> Handler {
      return with_condition(insn, []<unsigned cc>() -> Handler { return cmovcc<cc, T, Source>; });
    });
  });
}

}  // namespace bind

}  // namespace vireo::interp
