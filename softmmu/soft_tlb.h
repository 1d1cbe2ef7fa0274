// The cached translations of SoftMmu: what each knows, which of it stands in the TlbTables, and the ways to
// find them: by linear page, by physical frame, global or not. Knows no page tables.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/guest_memory.h"
#include "core/mmu.h"
#include "softmmu/page_walk.h"
#include "softmmu/sparse_array.h"

namespace vireo {

class SoftTlb {
 public:
  /// So that a guest cannot make flushes, or host memory, as large as its address space.
  static constexpr size_t kMaxEntries = size_t{1} << 16;

  struct Entry {
    uint64_t linear_page;     ///< linear address of the page's first byte
    Translation translation;  ///< `page` has A20 applied
    uint8_t* read;            ///< host addresses and code mark as in GuestMemory::Page
    uint8_t* write;
    uint8_t* code_mark;
    Privilege privilege;

    // Of SoftTlb only: indices of slots plus 1, 0 for none.
    uint32_t next_of_frame, previous_of_frame;
    uint32_t list_position;
  };

  SoftTlb();

  TlbTables& tables(Privilege privilege) { return tables_[static_cast<unsigned>(privilege)]; }
  TlbMirror& mirror(Privilege privilege) { return mirrors_[static_cast<unsigned>(privilege)]; }
  const std::array<uint64_t, 2>& exec_generation() const { return exec_generation_; }

  /// Null if the page has no translation. The pointer is good until something is added or dropped.
  Entry* find(Gla address, Privilege privilege) {
    return const_cast<Entry*>(std::as_const(*this).find(address, privilege));
  }
  const Entry* find(Gla address, Privilege privilege) const {
    const uint32_t slot = slot_of(address.value / kPageSize, privilege);
    return slot != 0 ? &pool_[slot - 1] : nullptr;
  }
  /// Replaces the page's translation if there is one. Not when full().
  Entry& add(Gla address, Privilege privilege, const Translation& translation,
             const GuestMemory::Page& backing);
  bool full() const { return size() == kMaxEntries; }
  size_t size() const { return lists_[0].size() + lists_[1].size(); }

  /// Writes the page's words in the TlbTables, from the translation, the code mark and CR0.WP.
  void publish(const Entry& entry, bool write_protect);
  void publish_all(bool write_protect);
  /// Takes away the direct writes to a physical page (A20 applied).
  void withhold_writes(Gpa page);

  /// Drops the translations of the page, and those of the whole large page that holds it.
  void drop_page(Gla address);
  /// Costs what it drops.
  void flush(bool global_too);

 private:
  static constexpr unsigned kFrameBuckets = 1u << 14;
  static constexpr uint64_t kRegionPages = 1024;  ///< of 4 MiB, the largest page of 32-bit address spaces

  static size_t frame_bucket(Gpa page) { return page.value / kPageSize % kFrameBuckets; }
  /// Pieces of large pages that a look at one 4-MiB region does not find: of larger pages, or above 4 GiB.
  static bool is_wide(const Entry& entry) {
    return entry.translation.page_size > kRegionPages * kPageSize ||
           entry.linear_page / kPageSize >= TlbTables::kPages;
  }
  uint64_t& pieces_counter(const Entry& entry) {
    return is_wide(entry) ? wide_pieces_ : region_pieces_[entry.linear_page / kPageSize / kRegionPages];
  }

  uint32_t slot_of(uint64_t page, Privilege privilege) const {
    if (page < TlbTables::kPages) return slots_[static_cast<unsigned>(privilege)][page];
    const auto found = high_slots_.find(page << 1 | static_cast<unsigned>(privilege));
    return found != high_slots_.end() ? found->second : 0;
  }
  void set_slot(const Entry& entry, uint32_t slot);
  void drop(uint32_t slot);

  SparseArray<TlbTables> tables_{2};
  std::array<SparseArray<uint8_t>, 2> mirrored_{SparseArray<uint8_t>{TlbTables::kPages},
                                                SparseArray<uint8_t>{TlbTables::kPages}};
  std::array<TlbMirror, 2> mirrors_;
  std::array<uint64_t, 2> exec_generation_{};  ///< Mmu::exec_generation()
  std::vector<Entry> pool_;                    ///< never reallocated
  std::vector<uint32_t> free_slots_;           ///< of pool_, plus 1
  std::array<SparseArray<uint32_t>, 2> slots_{SparseArray<uint32_t>{TlbTables::kPages},
                                              SparseArray<uint32_t>{TlbTables::kPages}};
  std::unordered_map<uint64_t, uint32_t> high_slots_;  ///< the pages from 4 GiB up
  std::array<std::vector<uint32_t>, 2> lists_;         ///< not global, global
  std::vector<uint32_t> frame_heads_;
  std::array<uint64_t, TlbTables::kPages / kRegionPages> region_pieces_{};  ///< of large pages
  uint64_t wide_pieces_ = 0;
};

}  // namespace vireo
