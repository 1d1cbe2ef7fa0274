// Operands of generated code that lie in the Frame or in the TlbTables.
#pragma once

#include "core/mmu.h"
#include "translator/abi.h"

namespace vireo::translator {

inline asmjit::x86::Mem frame_field(size_t offset, uint32_t size = 8) {
  return asmjit::x86::Mem(host::kFrame, static_cast<int32_t>(offset) - kFrameBias, size);
}
#define VIREO_FRAME(field) frame_field(offsetof(Frame, field), sizeof(Frame::field))

/// Which table an access needs.
constexpr size_t delta_table(bool write) {
  return write ? Mmu::kWriteDeltaOffset : Mmu::kReadDeltaOffset;
}

/// The word of a table for the page number in `index`.
inline asmjit::x86::Mem tlb_word(size_t table_offset, const asmjit::x86::Gp& index) {
  return asmjit::x86::ptr(host::kTlb, index, 3, static_cast<int32_t>(table_offset) - kTlbBias, 8);
}

/// The same for a page that is known.
inline asmjit::x86::Mem tlb_word(size_t table_offset, uint32_t page) {
  return asmjit::x86::ptr(host::kTlb, static_cast<int32_t>(table_offset + page * sizeof(uint64_t)) - kTlbBias,
                          8);
}

}  // namespace vireo::translator
