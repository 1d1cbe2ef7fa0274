// BT BTS BTR BTC BSF BSR POPCNT CRC32.
#include "core/interp/host_ops.h"
#include "core/interp/operands.h"

namespace vireo::interp {

namespace {

/// Address of the operand that holds bit `bit` (signed) of the bit string at the ModRM address (SDM 2A, BT).
template <class T>
uint64_t bit_string_offset(const Interp& interp, const Insn& insn, T bit) {
  constexpr unsigned kShift = sizeof(T) == 2 ? 4 : sizeof(T) == 4 ? 5 : 6;
  const int64_t element = static_cast<std::make_signed_t<T>>(bit) >> kShift;
  const uint64_t mask = ~uint64_t{0} >> (64 - 8 * insn.address_size);
  return (interp.effective_address(insn) + static_cast<uint64_t>(element) * sizeof(T)) & mask;
}

template <class Op, class T, class Dest, class Index>
void bit_op(Interp& interp, const Insn& insn) {
  constexpr bool kWrites = !std::is_same_v<Op, host::Bt>;
  const T bit = Index::template get<T>(interp, insn);
  uint64_t& flags = interp.cpu.rflags;
  // The host instruction gets register operands only, and those take the bit number modulo the size.
  if constexpr (std::is_same_v<Dest, Memory>) {
    const uint64_t offset = std::is_same_v<Index, Immediate> ? interp.effective_address(insn)
                                                             : bit_string_offset<T>(interp, insn, bit);
    if constexpr (kWrites) {
      const T old = interp.read_for_write<T>(insn.segment, offset);
      interp.write<T>(insn.segment, offset, Op::template run<T>(old, bit, flags));
    } else {
      Op::template run<T>(interp.read<T>(insn.segment, offset), bit, flags);
    }
  } else {
    const T result = Op::template run<T>(Dest::template get<T>(interp, insn), bit, flags);
    if constexpr (kWrites) Dest::template set<T>(interp, insn, result);
  }
}

template <class Op>
Handler bind_bit_op(const Insn& insn) {
  const bool immediate = form_of(insn).kind == FormKind::kRmImm;
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    return with_rm(insn, [&]<class Dest>(Dest) -> Handler {
      return immediate ? bit_op<Op, T, Dest, Immediate> : bit_op<Op, T, Dest, RegRegister>;
    });
  });
}

template <class Op, class T, class Source>
void scan(Interp& interp, const Insn& insn) {
  const T source = Source::template get<T>(interp, insn);
  interp.set_reg<T>(insn.reg(), insn,
                    Op::template run<T>(interp.reg<T>(insn.reg(), insn), source, interp.cpu.rflags));
}

template <class Op>
Handler bind_scan(const Insn& insn) {
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    return with_rm(insn, []<class Source>(Source) -> Handler { return scan<Op, T, Source>; });
  });
}

template <class T, class Source>
void crc32(Interp& interp, const Insn& insn) {
  const T source = Source::template get<T>(interp, insn);
  uint64_t crc = static_cast<uint32_t>(interp.cpu.gpr[insn.reg()]);
  if constexpr (sizeof(T) == 1) {
    asm("crc32b %1, %0" : "+r"(crc) : "r"(source));
  } else if constexpr (sizeof(T) == 2) {
    asm("crc32w %1, %k0" : "+r"(crc) : "r"(source));
  } else if constexpr (sizeof(T) == 4) {
    asm("crc32l %1, %k0" : "+r"(crc) : "r"(source));
  } else {
    asm("crc32q %1, %0" : "+r"(crc) : "r"(source));
  }
  interp.cpu.gpr[insn.reg()] = crc;
}

}  // namespace

namespace bind {

Handler BT(const Insn& insn) {
  return bind_bit_op<host::Bt>(insn);
}
Handler BTS(const Insn& insn) {
  return bind_bit_op<host::Bts>(insn);
}
Handler BTR(const Insn& insn) {
  return bind_bit_op<host::Btr>(insn);
}
Handler BTC(const Insn& insn) {
  return bind_bit_op<host::Btc>(insn);
}
Handler BSF(const Insn& insn) {
  return bind_scan<host::Bsf>(insn);
}
Handler BSR(const Insn& insn) {
  return bind_scan<host::Bsr>(insn);
}
Handler POPCNT(const Insn& insn) {
  return bind_scan<host::Popcnt>(insn);
}

Handler CRC32(const Insn& insn) {
  return with_size(form_of(insn).source_size, [&]<class T>(T) -> Handler {
    return with_rm(insn, []<class Source>(Source) -> Handler { return crc32<T, Source>; });
  });
}

}  // namespace bind

}  // namespace vireo::interp
