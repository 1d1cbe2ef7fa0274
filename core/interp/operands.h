// Operand policies from which the handler families are composed: each says where an operand lives, so that a
// handler template instantiated with them has no decision left to make when it runs.
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/interp/form.h"
#include "core/interp/handlers.h"
#include "core/interp/interp_inline.h"

namespace vireo::interp {

/// Register named by ModRM.rm.
struct RmRegister {
  template <class T>
  static T get(Interp& interp, const Insn& insn) {
    return interp.reg<T>(insn.rm(), insn);
  }
  template <class T>
  static void set(Interp& interp, const Insn& insn, T value) {
    interp.set_reg<T>(insn.rm(), insn, value);
  }
};

/// Register named by ModRM.reg.
struct RegRegister {
  template <class T>
  static T get(Interp& interp, const Insn& insn) {
    return interp.reg<T>(insn.reg(), insn);
  }
  template <class T>
  static void set(Interp& interp, const Insn& insn, T value) {
    interp.set_reg<T>(insn.reg(), insn, value);
  }
};

/// Register named by the opcode's low bits.
struct OpcodeRegister {
  template <class T>
  static T get(Interp& interp, const Insn& insn) {
    return interp.reg<T>(insn.opcode_reg(), insn);
  }
  template <class T>
  static void set(Interp& interp, const Insn& insn, T value) {
    interp.set_reg<T>(insn.opcode_reg(), insn, value);
  }
};

/// AL, AX, EAX or RAX.
struct Accumulator {
  template <class T>
  static T get(Interp& interp, const Insn& insn) {
    return interp.reg<T>(0, insn);
  }
  template <class T>
  static void set(Interp& interp, const Insn& insn, T value) {
    interp.set_reg<T>(0, insn, value);
  }
};

/// The ModRM memory operand, or a moffs.
struct Memory {
  template <class T>
  static T get(Interp& interp, const Insn& insn) {
    return interp.read<T>(insn.segment, interp.effective_address(insn));
  }
  template <class T>
  static void set(Interp& interp, const Insn& insn, T value) {
    interp.write<T>(insn.segment, interp.effective_address(insn), value);
  }
};

struct Immediate {
  template <class T>
  static T get(Interp&, const Insn& insn) {
    return static_cast<T>(insn.imm);
  }
};

struct ImmediateOne {
  template <class T>
  static T get(Interp&, const Insn&) {
    return 1;
  }
};

struct RegisterCl {
  template <class T>
  static T get(Interp& interp, const Insn&) {
    return static_cast<T>(interp.cpu.gpr[1]);
  }
};

/// Replaces an operand by f(old value). In memory: read with a write's checks, so that the write cannot fault
/// and what `f` changes (flags, registers) is safe to change.
template <class Place, class T, class F>
inline void modify(Interp& interp, const Insn& insn, F f) {
  if constexpr (std::is_same_v<Place, Memory>) {
    const uint64_t offset = interp.effective_address(insn);
    const T old = interp.read_for_write<T>(insn.segment, offset);
    interp.write<T>(insn.segment, offset, f(old));
  } else {
    Place::template set<T>(interp, insn, f(Place::template get<T>(interp, insn)));
  }
}

/// Calls `make` with a value of the unsigned type of `bytes` bytes: the bridge from decode-time sizes to
/// templates.
template <class F>
Handler with_size(unsigned bytes, F make) {
  switch (bytes) {
    case 1:
      return make(uint8_t{});
    case 2:
      return make(uint16_t{});
    case 4:
      return make(uint32_t{});
    case 8:
      return make(uint64_t{});
    default:
      return ud_handler();
  }
}
/// As with_size for rows without a byte form.
template <class F>
Handler with_word_size(unsigned bytes, F make) {
  switch (bytes) {
    case 2:
      return make(uint16_t{});
    case 4:
      return make(uint32_t{});
    case 8:
      return make(uint64_t{});
    default:
      return ud_handler();
  }
}

/// Calls `make` with RmRegister or Memory.
template <class F>
Handler with_rm(const Insn& insn, F make) {
  return insn.is_memory() ? make(Memory{}) : make(RmRegister{});
}

/// Calls `make` with the instruction's condition code as template argument.
template <class F>
Handler with_condition(const Insn& insn, F make) {
  return [&]<unsigned... cc>(std::integer_sequence<unsigned, cc...>) {
    const Handler handlers[] = {make.template operator()<cc>()...};
    return handlers[insn.condition()];
  }
  (std::make_integer_sequence<unsigned, 16>{});
}

}  // namespace vireo::interp
