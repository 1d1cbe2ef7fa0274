// What loads of data segment registers, VERR and VERW have found out: a selector whose descriptor is as it
// was loads what it loaded then. Trampolines read it (Trampolines::load_data_segment).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/cpu_state.h"
#include "core/interp/interp.h"

namespace vireo::translator {

/// In protected mode, at CPL 0 and 3. An entry is good while GDTR, LDTR and Basis::comparable stay as they
/// are, the supervisor's TLB has the descriptor's page where it was, and the descriptor's bytes are the same.
/// Null selectors have none. A part of the Frame.
struct DescriptorCache {
  /// What is asked for: the selector, and
  static constexpr unsigned kRegisterShift = 16;      ///< number of the segment register; not for kVerify
  static constexpr uint32_t kFlat = 1u << 20;         ///< ES and DS: their view is flat, before and after
  static constexpr uint32_t kCpl3 = 1u << 21;         ///< else 0
  static constexpr uint32_t kVerify = 1u << 22;       ///< VERR or,
  static constexpr uint32_t kVerifyWrite = 1u << 23;  ///< with this, VERW
  static constexpr uint32_t kSelector = 0xffff;
  static constexpr uint32_t kNotNull = 0xfffc;
  static constexpr uint32_t kRegister = 7u << kRegisterShift;

  struct alignas(128) Entry {
    uint32_t key = 0;       ///< without the register; 0: nothing here
    uint32_t zf = 0;        ///< kVerify: ZF in its place in AH, in EAX
    uint64_t tlb_word = 0;  ///< offset of the page's in TlbTables::read_delta
    uint64_t delta = 0;     ///< its value
    uint64_t host = 0;      ///< address of the descriptor
    uint64_t raw = 0;       ///< its bytes
    Segment segment;        ///< what is loaded
    interp::Interp::SegmentView view;
  };
  static constexpr unsigned kEntries = 32;
  /// Byte offset of an entry, from selector & kIndexMask.
  static constexpr uint32_t kIndexMask = (kEntries - 1) << 3;
  static constexpr unsigned kIndexShift = 4;

  /// What entries are made for, all of them.
  struct Basis {
    uint64_t gdt = 0, ldt = 0;
    uint32_t gdt_limit = 0, ldt_limit = 0;
    bool ldt_present = false;
    bool comparable = false;  ///< Interp::views_comparable()
    bool operator==(const Basis&) const = default;
  };

  /// To be called when the Basis may be another one.
  void look(const interp::Interp& interp);
  /// After `key` (for a load: of `which`) has been executed by C++ code, which has had this ZF as its result.
  void note_load(const interp::Interp& interp, uint32_t key, SegReg which);
  void note_verify(const interp::Interp& interp, uint32_t key, bool zf);

  std::array<Entry, kEntries> loads;
  std::array<Entry, kEntries> verifications;
  Basis basis;
};
static_assert(sizeof(DescriptorCache::Entry) == 8u << DescriptorCache::kIndexShift);

}  // namespace vireo::translator
