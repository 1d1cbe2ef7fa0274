// Fast paths of Interp: registers, memory through the TLB, stack. Included by the handler families.
#pragma once

#include <cstring>
#include <type_traits>

#include "core/interp/interp.h"

namespace vireo::interp {

template <class T>
inline T Interp::reg(unsigned number, const Insn& insn) const {
  if constexpr (sizeof(T) == 1) {
    if (number >= 4 && number < 8 && insn.rex == 0) return static_cast<T>(cpu.gpr[number - 4] >> 8);
  } else {
    static_cast<void>(insn);
  }
  return static_cast<T>(cpu.gpr[number]);
}

template <class T>
inline void Interp::set_reg(unsigned number, const Insn& insn, T value) {
  if constexpr (sizeof(T) == 1) {
    if (number >= 4 && number < 8 && insn.rex == 0) {
      uint64_t& r = cpu.gpr[number - 4];
      r = (r & ~uint64_t{0xff00}) | uint64_t{static_cast<uint8_t>(value)} << 8;
    } else {
      uint64_t& r = cpu.gpr[number];
      r = (r & ~uint64_t{0xff}) | static_cast<uint8_t>(value);
    }
  } else {
    static_cast<void>(insn);
    uint64_t& r = cpu.gpr[number];
    if constexpr (sizeof(T) == 2) {
      r = (r & ~uint64_t{0xffff}) | static_cast<uint16_t>(value);
    } else if constexpr (sizeof(T) == 4) {
      r = static_cast<uint32_t>(value);
    } else {
      r = static_cast<uint64_t>(value);
    }
  }
}

template <class T>
inline T Interp::read(SegReg segment, uint64_t offset) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  const SegmentView& view = view_[static_cast<unsigned>(segment)];
  T value;
  if (offset + sizeof(T) <= view.read_end) [[likely]] {
    const Gla address{(view.base + offset) & linear_mask_};
    if (const uint8_t* host = mmu.fast_read(address, sizeof(T), privilege_)) [[likely]] {
      std::memcpy(&value, host, sizeof(T));
      return value;
    }
  }
  read_checked(segment, offset, &value, sizeof(T));
  return value;
}

template <class T>
inline void Interp::write(SegReg segment, uint64_t offset, T value) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  const SegmentView& view = view_[static_cast<unsigned>(segment)];
  if (offset + sizeof(T) <= view.write_end) [[likely]] {
    const Gla address{(view.base + offset) & linear_mask_};
    if (uint8_t* host = mmu.fast_write(address, sizeof(T), privilege_)) [[likely]] {
      std::memcpy(host, &value, sizeof(T));
      return;
    }
  }
  write_checked(segment, offset, &value, sizeof(T));
}

template <class T>
inline T Interp::read_for_write(SegReg segment, uint64_t offset) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  const SegmentView& view = view_[static_cast<unsigned>(segment)];
  T value;
  if (offset + sizeof(T) <= view.write_end) [[likely]] {
    const Gla address{(view.base + offset) & linear_mask_};
    if (const uint8_t* host = mmu.fast_write(address, sizeof(T), privilege_)) [[likely]] {
      std::memcpy(&value, host, sizeof(T));
      return value;
    }
  }
  read_for_write_checked(segment, offset, &value, sizeof(T));
  return value;
}

inline const uint8_t* Interp::direct_read(SegReg segment, uint64_t offset, unsigned size) {
  const SegmentView& view = view_[static_cast<unsigned>(segment)];
  if (offset + size > view.read_end) return nullptr;
  return mmu.fast_read({(view.base + offset) & linear_mask_}, size, privilege_);
}

inline uint8_t* Interp::direct_write(SegReg segment, uint64_t offset, unsigned size) {
  const SegmentView& view = view_[static_cast<unsigned>(segment)];
  if (offset + size > view.write_end) return nullptr;
  uint8_t* host = mmu.fast_write({(view.base + offset) & linear_mask_}, size, privilege_);
  return own_code_ != nullptr && writes_itself(host, size) ? nullptr : host;
}

template <class T>
inline T Interp::read_system(Gla address) {
  T value;
  address.value &= linear_mask_;
  if (const uint8_t* host = mmu.fast_read(address, sizeof(T), Privilege::kSupervisor)) [[likely]] {
    std::memcpy(&value, host, sizeof(T));
  } else {
    read_linear(address, Privilege::kSupervisor, &value, sizeof(T));
  }
  return value;
}

template <class T>
inline void Interp::write_system(Gla address, T value) {
  address.value &= linear_mask_;
  if (uint8_t* host = mmu.fast_write(address, sizeof(T), Privilege::kSupervisor)) [[likely]] {
    std::memcpy(host, &value, sizeof(T));
  } else {
    write_linear(address, Privilege::kSupervisor, &value, sizeof(T));
  }
}

inline uint64_t Interp::effective_address(const Insn& insn) const {
  uint64_t address = static_cast<uint64_t>(insn.disp);
  if (insn.base < isa::kNoRegister) {
    address += cpu.gpr[insn.base];
  } else if (insn.base == isa::kRipRegister) {
    address += next_rip;
  }
  if (insn.index < isa::kNoRegister) address += cpu.gpr[insn.index] << insn.scale;
  return address & (~uint64_t{0} >> (64 - 8 * insn.address_size));
}

template <class T>
inline T Interp::read_rm(const Insn& insn) {
  if (!insn.is_memory()) return reg<T>(insn.rm(), insn);
  return read<T>(insn.segment, effective_address(insn));
}

template <class T>
inline T Interp::read_rm_for_write(const Insn& insn) {
  if (!insn.is_memory()) return reg<T>(insn.rm(), insn);
  return read_for_write<T>(insn.segment, effective_address(insn));
}

template <class T>
inline void Interp::write_rm(const Insn& insn, T value) {
  if (!insn.is_memory()) {
    set_reg<T>(insn.rm(), insn, value);
  } else {
    write<T>(insn.segment, effective_address(insn), value);
  }
}

inline void Interp::set_stack_pointer(uint64_t value) {
  uint64_t& rsp = cpu.reg(Gpr::kRsp);
  rsp = stack_mask_ == 0xffff ? (rsp & ~stack_mask_) | (value & stack_mask_) : value & stack_mask_;
}

inline void Interp::push(unsigned size, uint64_t value) {
  const uint64_t offset = (cpu.reg(Gpr::kRsp) - size) & stack_mask_;
  if (size == 4) {
    write(SegReg::kSs, offset, static_cast<uint32_t>(value));
  } else if (size == 2) {
    write(SegReg::kSs, offset, static_cast<uint16_t>(value));
  } else {
    write(SegReg::kSs, offset, value);
  }
  set_stack_pointer(offset);
}

inline uint64_t Interp::pop(unsigned size) {
  const uint64_t offset = cpu.reg(Gpr::kRsp) & stack_mask_;
  uint64_t value;
  if (size == 4) {
    value = read<uint32_t>(SegReg::kSs, offset);
  } else if (size == 2) {
    value = read<uint16_t>(SegReg::kSs, offset);
  } else {
    value = read<uint64_t>(SegReg::kSs, offset);
  }
  set_stack_pointer(offset + size);
  return value;
}

inline void Interp::jump_near(uint64_t rip) {
  if (rip > cpu.segment(SegReg::kCs).limit && !cpu.long_mode()) [[unlikely]]
    throw_gp(0);
  next_rip = rip;
  block_ended = true;
}

inline bool Interp::rep_must_pause() {
  if (--rep_budget_ == 0) context.attention.request(Attention::kExit);
  return single_stepping_ || context.attention.bits() != 0 || cpu.pending_dr6 != 0 || block_ended ||
         (own_code_ != nullptr && rewrote_itself());
}

inline void Interp::pause_rep() {
  next_rip = cpu.rip;
  rep_paused = true;
  block_ended = true;
}

}  // namespace vireo::interp
