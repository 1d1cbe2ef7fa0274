// MUL IMUL DIV IDIV.
#include <limits>
#include <type_traits>

#include "core/interp/host_ops.h"
#include "core/interp/operands.h"

namespace vireo::interp {

namespace {

template <class T>
struct Wide;
template <>
struct Wide<uint8_t> {
  using Unsigned = uint16_t;
  using Signed = int16_t;
};
template <>
struct Wide<uint16_t> {
  using Unsigned = uint32_t;
  using Signed = int32_t;
};
template <>
struct Wide<uint32_t> {
  using Unsigned = uint64_t;
  using Signed = int64_t;
};
template <>
struct Wide<uint64_t> {
  using Unsigned = unsigned __int128;
  using Signed = __int128;
};

/// rDX:rAX, or AX.
template <class T>
typename Wide<T>::Unsigned dividend(Interp& interp, const Insn& insn) {
  using U = typename Wide<T>::Unsigned;
  if constexpr (sizeof(T) == 1) {
    return interp.reg<uint16_t>(0, insn);
  } else {
    return static_cast<U>(static_cast<U>(interp.reg<T>(2, insn)) << (8 * sizeof(T)) | interp.reg<T>(0, insn));
  }
}

template <class Op, class T>
void run_on_accumulator(Interp& interp, const Insn& insn, T source) {
  if constexpr (sizeof(T) == 1) {
    uint16_t ax = interp.reg<uint16_t>(0, insn);
    Op::run_byte(ax, source, interp.cpu.rflags);
    interp.set_reg<uint16_t>(0, insn, ax);
  } else {
    T low = interp.reg<T>(0, insn), high = interp.reg<T>(2, insn);
    Op::template run<T>(low, high, source, interp.cpu.rflags);
    interp.set_reg<T>(0, insn, low);
    interp.set_reg<T>(2, insn, high);
  }
}

template <class Op, class T, class Source>
void multiply(Interp& interp, const Insn& insn) {
  run_on_accumulator<Op, T>(interp, insn, Source::template get<T>(interp, insn));
}

template <class T, class Source>
void div(Interp& interp, const Insn& insn) {
  const T source = Source::template get<T>(interp, insn);
  // The quotient fits exactly when the dividend's upper half is below the divisor; that covers 0 too.
  if (static_cast<T>(dividend<T>(interp, insn) >> (8 * sizeof(T))) >= source) throw_de();
  run_on_accumulator<host::Div, T>(interp, insn, source);
}

template <class T, class Source>
void idiv(Interp& interp, const Insn& insn) {
  using S = typename Wide<T>::Signed;
  using U = typename Wide<T>::Unsigned;
  const T source = Source::template get<T>(interp, insn);
  if (source == 0) throw_de();
  // On magnitudes, so that the most negative dividend by -1 does not trap here.
  const U bits = dividend<T>(interp, insn);
  const bool negative_dividend = static_cast<S>(bits) < 0;
  const bool negative_source = static_cast<std::make_signed_t<T>>(source) < 0;
  const U magnitude = negative_dividend ? static_cast<U>(U{0} - bits) : bits;
  const T divisor = negative_source ? static_cast<T>(T{0} - source) : source;
  const U most = U{1} << (8 * sizeof(T) - 1);
  if (magnitude / divisor > (negative_dividend != negative_source ? most : static_cast<U>(most - 1)))
    throw_de();
  run_on_accumulator<host::Idiv, T>(interp, insn, source);
}

template <class T, class Source>
void imul_two(Interp& interp, const Insn& insn) {
  const T source = Source::template get<T>(interp, insn);
  interp.set_reg<T>(insn.reg(), insn,
                    host::Imul2::run<T>(interp.reg<T>(insn.reg(), insn), source, interp.cpu.rflags));
}

template <class T, class Source>
void imul_three(Interp& interp, const Insn& insn) {
  const T source = Source::template get<T>(interp, insn);
  interp.set_reg<T>(insn.reg(), insn,
                    host::Imul2::run<T>(source, static_cast<T>(insn.imm), interp.cpu.rflags));
}

/// `make` gets <T, Source> for rows with one explicit operand E.
template <class F>
Handler with_source(const Insn& insn, F make) {
  return with_size(form_of(insn).size, [&]<class T>(T size) -> Handler {
    return insn.is_memory() ? make(size, Memory{}) : make(size, RmRegister{});
  });
}

}  // namespace

namespace bind {

Handler MUL(const Insn& insn) {
  return with_source(
      insn, []<class T, class Source>(T, Source) -> Handler { return multiply<host::Mul, T, Source>; });
}

Handler IMUL(const Insn& insn) {
  switch (form_of(insn).kind) {
    case FormKind::kRm:
      return with_source(
          insn, []<class T, class Source>(T, Source) -> Handler { return multiply<host::Imul, T, Source>; });
    case FormKind::kRegRm:
      return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
        return with_rm(insn, []<class Source>(Source) -> Handler { return imul_two<T, Source>; });
      });
    case FormKind::kRegRmImm:
      return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
        return with_rm(insn, []<class Source>(Source) -> Handler { return imul_three<T, Source>; });
      });
    default:
      return ud_handler();
  }
}

Handler DIV(const Insn& insn) {
  return with_source(insn, []<class T, class Source>(T, Source) -> Handler { return div<T, Source>; });
}

Handler IDIV(const Insn& insn) {
  return with_source(insn, []<class T, class Source>(T, Source) -> Handler { return idiv<T, Source>; });
}

}  // namespace bind

}  // namespace vireo::interp
