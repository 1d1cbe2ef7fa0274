// Machine code of native thunks. See native_exec.h.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>

#include "core/interp/native_exec.h"

namespace vireo::interp {

/// A short run of code bytes.
class NativeCode {
 public:
  void put(std::initializer_list<uint8_t> bytes) {
    for (const uint8_t byte : bytes) bytes_[size_++] = byte;
  }
  template <class T>
  void put_value(T value) {
    for (unsigned i = 0; i < sizeof(T); ++i)
      bytes_[size_++] = static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i));
  }
  std::span<const uint8_t> bytes() const { return {bytes_.data(), size_}; }

 private:
  std::array<uint8_t, 512> bytes_{};
  size_t size_ = 0;
};

/// Plan of `insn` but for `core` and the fast x87 plan.
NativePlan make_plan(const Insn& insn);
/// False if there is no fast way for `insn`.
bool make_fast_x87_plan(const Insn& insn, FastX87Plan& plan);

/// NativeCore for an x87 instruction or EMMS: runs it on the whole FXSAVE image.
NativeCode x87_core(const Insn& insn, const NativePlan& plan);
/// NativeCore for an x87 instruction with a fast plan: loads its operands onto the host's empty register
/// stack.
NativeCode fast_x87_core(const Insn& insn, const NativePlan& plan);
/// NativeCore for an MMX or SSE instruction: loads and stores only the registers that it names.
NativeCode simd_core(const Insn& insn, const NativePlan& plan);
/// A Handler that calls executor(interp, insn, plan).
NativeCode entry_code(const NativePlan* plan, NativeExecutor executor);

}  // namespace vireo::interp
