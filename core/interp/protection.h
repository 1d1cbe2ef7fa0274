// Segment descriptors, gates and stacks of inner rings: what segment loads, far transfers, interrupts and
// task switches share. Source: Intel SDM 3A chapters 3, 5 and 7.
#pragma once

#include <cstdint>
#include <optional>

#include "core/interp/interp_inline.h"

namespace vireo::interp {

/// System descriptor types (SDM 3A table 3-2).
namespace system_type {
inline constexpr unsigned kTss286 = 1, kLdt = 2, kTss286Busy = 3, kCallGate286 = 4, kTaskGate = 5;
inline constexpr unsigned kInterruptGate286 = 6, kTrapGate286 = 7;
inline constexpr unsigned kTss386 = 9, kTss386Busy = 11, kCallGate386 = 12;
inline constexpr unsigned kInterruptGate386 = 14, kTrapGate386 = 15;
}  // namespace system_type

/// A descriptor of the GDT, LDT or IDT as it stands in memory.
struct Descriptor {
  uint32_t low = 0;
  uint32_t high = 0;

  unsigned type() const { return (high >> 8) & 15; }
  bool is_system() const { return !(high & (1u << 12)); }
  unsigned dpl() const { return (high >> 13) & 3; }
  bool present() const { return high & (1u << 15); }
  bool is_code() const { return !is_system() && (type() & 8); }
  bool is_conforming() const { return is_code() && (type() & 4); }
  bool is_readable() const { return !is_system() && (!(type() & 8) || (type() & 2)); }
  bool is_writable_data() const { return !is_system() && (type() & 10) == 2; }
  uint32_t base() const { return (low >> 16) | (high & 0xff) << 16 | (high & 0xff000000); }
  uint32_t limit() const {
    const uint32_t raw = (low & 0xffff) | (high & 0xf0000);
    return high & (1u << 23) ? raw << 12 | 0xfff : raw;
  }

  bool is_system_type(unsigned wanted) const { return is_system() && type() == wanted; }
  bool is_available_tss() const {
    return is_system_type(system_type::kTss286) || is_system_type(system_type::kTss386);
  }
  bool is_busy_tss() const {
    return is_system_type(system_type::kTss286Busy) || is_system_type(system_type::kTss386Busy);
  }

  uint16_t gate_selector() const { return static_cast<uint16_t>(low >> 16); }
  uint32_t gate_offset() const { return (low & 0xffff) | (gate_is_386() ? high & 0xffff0000 : 0); }
  unsigned gate_parameters() const { return high & 31; }
  bool gate_is_386() const { return type() & 8; }

  /// The hidden part that loading `selector` from this descriptor gives.
  Segment segment(uint16_t selector) const;
};

constexpr bool is_null(uint16_t selector) {
  return (selector & ~3) == 0;
}
constexpr unsigned rpl_of(uint16_t selector) {
  return selector & 3;
}
/// The selector as exceptions report it; `external` is the EXT bit.
constexpr uint32_t error_code_of(uint16_t selector, uint32_t external = 0) {
  return static_cast<uint32_t>(selector & ~3) | external;
}

/// The descriptor of a selector that is not null; nothing if it is beyond its table's limit.
std::optional<Descriptor> read_descriptor(Interp& interp, uint16_t selector);
/// Sets the accessed bit of a code or data descriptor, in memory and in `descriptor`.
void mark_accessed(Interp& interp, uint16_t selector, Descriptor& descriptor);
/// Sets or clears the busy bit of a TSS descriptor in memory.
void mark_busy(Interp& interp, uint16_t selector, bool busy);

/// A segment register as real mode and V86 load it; real mode keeps the limit and size of `old`.
Segment real_mode_segment(const Segment& old, uint16_t selector);
Segment v86_segment(uint16_t selector);
/// A data segment register holding a null selector.
Segment null_segment(uint16_t selector);

/// Loads CS with everything that depends on it. The caller has made all checks.
void enter_code_segment(Interp& interp, const Segment& cs, unsigned cpl);
/// After a return to an outer ring: data segments that the new CPL may not use become null.
void drop_inner_segments(Interp& interp);

/// A stack about to become current.
struct StackPointer {
  Segment ss;
  uint64_t pointer = 0;
};
/// SS:ESP for ring `cpl` from the TSS, checked: #TS, #SS.
StackPointer inner_stack(Interp& interp, unsigned cpl, uint32_t external);

/// Pushes onto a stack that need not be loaded; nothing in the CPU changes. Limit violations are
/// #SS(`error_code`).
class StackWriter {
 public:
  StackWriter(Interp& interp, const StackPointer& stack, unsigned cpl, uint32_t error_code);
  void push(unsigned size, uint64_t value);
  uint64_t pointer() const { return pointer_; }

 private:
  Interp& interp_;
  Segment ss_;
  uint64_t pointer_;
  uint64_t mask_;
  Privilege privilege_;
  uint32_t error_code_;
};

/// Flags that may be set through `mask`, with everything that hangs on them (IF, TF, RF, AC, VM).
void set_flags(Interp& interp, uint64_t value, uint64_t mask);

enum class TaskSwitch : uint8_t { kJump, kCall, kInterrupt, kIret };
/// Switches to the task of `selector`, whose descriptor the caller has found to be a TSS that is present and,
/// but for IRET, not busy. `return_rip` is what the old TSS saves. `external`: EXT bit of faults.
void switch_task(Interp& interp, TaskSwitch reason, uint16_t selector, Descriptor tss, uint64_t return_rip,
                 uint64_t saved_rflags, uint32_t external);
/// The TSS that a task gate names: #GP, #NP.
Descriptor task_gate_tss(Interp& interp, uint16_t selector, uint32_t external);

/// PAE: loads the PDPTE registers from the table that `cr3` names. False if a reserved bit is set (#GP(0)).
bool load_pdptes(Interp& interp, uint64_t cr3);

/// #GP(0) unless CPL is 0.
inline void require_cpl0(const Interp& interp) {
  if (interp.cpl() != 0) throw_gp(0);
}

/// VME's extensions for V86 mode are in force: IOPL below 3 and CR4.VME.
inline bool vme_below_iopl3(const CpuState& cpu) {
  return cpu.v86() && cpu.iopl() < 3 && (cpu.cr4 & cr4::kVme);
}

}  // namespace vireo::interp
