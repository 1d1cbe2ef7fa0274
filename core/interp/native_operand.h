// What the executors of native instructions share: memory operands and flags.
#pragma once

#include <cstring>

#include "core/interp/interp_inline.h"

namespace vireo::interp {

struct alignas(16) NativeMemory {
  uint8_t bytes[16];
};

/// The upper part of an 80-bit operand wraps at the address size like any other access.
inline uint64_t part_offset(const Insn& insn, uint64_t offset, unsigned at) {
  return (offset + at) & (~uint64_t{0} >> (64 - 8 * insn.address_size));
}

inline void load_operand(Interp& interp, const Insn& insn, uint64_t offset, unsigned bytes,
                         NativeMemory& out) {
  const auto load = [&]<class T>(T, unsigned at) {
    const T value = interp.read<T>(insn.segment, part_offset(insn, offset, at));
    std::memcpy(out.bytes + at, &value, sizeof value);
  };
  switch (bytes) {
    case 1:
      return load(uint8_t{}, 0);
    case 2:
      return load(uint16_t{}, 0);
    case 4:
      return load(uint32_t{}, 0);
    case 8:
      return load(uint64_t{}, 0);
    case 10:
      load(uint64_t{}, 0);
      return load(uint16_t{}, 8);
    default:
      return load(NativeMemory{}, 0);
  }
}

inline void store_operand(Interp& interp, const Insn& insn, uint64_t offset, unsigned bytes,
                          const NativeMemory& value) {
  const auto store = [&]<class T>(T typed, unsigned at) {
    std::memcpy(&typed, value.bytes + at, sizeof typed);
    interp.write<T>(insn.segment, part_offset(insn, offset, at), typed);
  };
  switch (bytes) {
    case 1:
      return store(uint8_t{}, 0);
    case 2:
      return store(uint16_t{}, 0);
    case 4:
      return store(uint32_t{}, 0);
    case 8:
      return store(uint64_t{}, 0);
    case 10:
      store(uint64_t{}, 0);
      return store(uint16_t{}, 8);
    default:
      return store(NativeMemory{}, 0);
  }
}

inline void set_arithmetic_flags(CpuState& cpu, uint64_t flags) {
  cpu.rflags = (cpu.rflags & ~rflags::kArithmetic) | (flags & rflags::kArithmetic);
}

}  // namespace vireo::interp
