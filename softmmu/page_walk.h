// The guest's page tables, read as the processor reads them. One walker serves every paging mode: a mode is a
// list of levels. Source: Intel SDM 3A chapter 4 (32-bit paging, PAE paging, 4-level paging).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "core/cpu_state.h"
#include "core/guest_memory.h"
#include "core/mmu.h"

namespace vireo {

enum class PagingMode : uint8_t { kNone, k32Bit, kPae, k4Level };

PagingMode paging_mode(const CpuState& cpu);

/// Of the paging structures of a mode with paging.
struct TableShape {
  unsigned levels;
  unsigned index_bits;  ///< log2 of a table's entries
  unsigned entry_size;  ///< in bytes
};
TableShape table_shape(PagingMode mode);

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

/// Physical accesses to paging structures: remembers where the tables used lately are on the host.
class TableMemory {
 public:
  explicit TableMemory(GuestMemory& memory) : memory_(memory) {}

  template <class T>
  T read(Gpa address) {
    T value;
    if (const uint8_t* page = place(address).read) {
      std::memcpy(&value, page + address.page_offset(), sizeof value);
    } else {
      value = memory_.read_value<T>(address);
    }
    return value;
  }
  void write_byte(Gpa address, uint8_t value);
  /// The layout of guest memory changed.
  void forget() { places_.fill({}); }

 private:
  struct Place {
    uint64_t page = ~uint64_t{0};
    const uint8_t* read = nullptr;
  };

  const Place& place(Gpa address) {
    Place& p = places_[address.value / kPageSize % kPlaces];
    if (p.page != address.page().value) [[unlikely]]
      p = {address.page().value, memory_.page(address).read};
    return p;
  }

  static constexpr unsigned kPlaces = 256;

  GuestMemory& memory_;
  std::array<Place, kPlaces> places_;
};

class PageWalk {
 public:
  /// Reads the tables for `address` without changing anything. `physical_bits` is the model's MAXPHYADDR, 32
  /// to 52: address bits of entries above it are reserved (with 32 there is no PSE-36).
  PageWalk(const CpuState& cpu, TableMemory& memory, unsigned physical_bits, Gla address);

  bool mapped() const { return !fault_bits_.has_value(); }
  /// Only when mapped().
  const Translation& translation() const { return translation_; }
  /// P and RSVD of the error code; only when not mapped().
  uint32_t fault_bits() const { return *fault_bits_; }
  /// An entry that the walk has read.
  struct Step {
    Gpa entry;
    uint64_t value;
    unsigned level;  ///< 1 at the leaf of a 4-KiB page
  };
  /// From the root on; without PDPTE registers.
  std::span<const Step> steps() const { return {steps_.data(), step_count_}; }
  /// Sets the accessed bits of all entries used, and the leaf's dirty bit for a write.
  void set_accessed(TableMemory& memory, bool dirty);

 private:
  std::array<Step, 4> steps_;
  unsigned step_count_ = 0;
  unsigned entry_size_ = 4;
  Translation translation_;
  std::optional<uint32_t> fault_bits_;
};

}  // namespace vireo
