// The guest's page tables, read as the processor reads them. One walker serves every paging mode: a mode is a
// list of levels. Source: Intel SDM 3A chapter 4 (32-bit paging, PAE paging, 4-level paging).
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "core/cpu_state.h"
#include "core/guest_memory.h"
#include "core/mmu.h"

namespace vireo {

enum class PagingMode : uint8_t { kNone, k32Bit, kPae, k4Level };

PagingMode paging_mode(const CpuState& cpu);

/// What the page tables say about one linear page; independent of who asks.
struct Translation {
  Gpa page;  ///< physical address of the 4-KiB page (also inside large pages)
  uint64_t page_size = kPageSize;
  bool writable = true;    ///< R/W set at every level
  bool user = true;        ///< U/S set at every level
  bool executable = true;  ///< no XD at any level
  bool dirty = false;
  bool global = false;

  bool permits(Access access, Privilege privilege, bool write_protect) const {
    if (privilege == Privilege::kUser && !user) return false;
    if (access == Access::kExecute) return executable;
    return access == Access::kRead || writable || (privilege == Privilege::kSupervisor && !write_protect);
  }
};

class PageWalk {
 public:
  /// Reads the tables for `address` without changing anything. `physical_bits` is the model's MAXPHYADDR, 32
  /// to 52: address bits of entries above it are reserved (with 32 there is no PSE-36).
  PageWalk(const CpuState& cpu, const GuestMemory& memory, unsigned physical_bits, Gla address);

  bool mapped() const { return !fault_bits_.has_value(); }
  /// Only when mapped().
  const Translation& translation() const { return translation_; }
  /// P and RSVD of the error code; only when not mapped().
  uint32_t fault_bits() const { return *fault_bits_; }
  /// Sets the accessed bits of all entries used, and the leaf's dirty bit for a write.
  void set_accessed(GuestMemory& memory, bool dirty);

 private:
  struct Step {
    Gpa entry;
    uint64_t value;
  };

  std::array<Step, 4> steps_;
  unsigned step_count_ = 0;
  unsigned entry_size_ = 4;
  Translation translation_;
  std::optional<uint32_t> fault_bits_;
};

}  // namespace vireo
