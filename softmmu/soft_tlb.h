// The cached translations of SoftMmu: what each knows, which of it stands in the TlbTables, and the ways to
// find them: by linear page, by physical frame, by address space. Knows no page tables.
//
// A space is the room for one address space: its TlbTables, and its translations that are not global. One
// space is the current one. Global translations belong to all; a space's tables get them as it needs them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/guest_memory.h"
#include "core/mmu.h"
#include "core/sparse_array.h"
#include "softmmu/page_walk.h"

namespace vireo {

class SoftTlb {
 public:
  /// So that a guest cannot make flushes, or host memory, as large as its address space.
  static constexpr size_t kMaxEntries = size_t{1} << 16;

  static constexpr uint8_t kGlobal = 0xff;
  /// Where a Space is meant: has the words of the global translations and nothing else.
  static constexpr unsigned kGlobalSpace = Mmu::kSpaces;

  struct Entry {
    uint64_t linear_page;     ///< linear address of the page's first byte
    Translation translation;  ///< `page` has A20 applied
    uint8_t* read;            ///< host addresses and code mark as in GuestMemory::Page
    uint8_t* write;
    uint8_t* code_mark;
    Privilege privilege;
    uint8_t space;  ///< that it belongs to; kGlobal: to all
    uint32_t era;   ///< number of the enter() that it was added after

    // Of SoftTlb only: indices of slots plus 1, 0 for none.
    uint32_t next_of_frame, previous_of_frame;
    uint32_t list_position;
  };

  SoftTlb();

  unsigned current() const { return current_; }
  /// Makes another space, below Mmu::kSpaces, the current one.
  void enter(unsigned space, bool write_protect);

  // Of the current space.
  TlbTables& tables(Privilege privilege) {
    return spaces_[current_]->tables[static_cast<unsigned>(privilege)];
  }
  TlbMirror& mirror(Privilege privilege) {
    return spaces_[current_]->mirrors[static_cast<unsigned>(privilege)];
  }
  // Of the translations that are global; kept from the first time on that somebody asks for them.
  const TlbTables& global_tables(Privilege privilege) {
    return space(kGlobalSpace).tables[static_cast<unsigned>(privilege)];
  }
  TlbMirror& global_mirror(Privilege privilege) {
    return space(kGlobalSpace).mirrors[static_cast<unsigned>(privilege)];
  }
  /// Mmu::exec_generation().
  const std::array<uint64_t, 2>& exec_generation() const { return spaces_[current_]->exec_generation; }

  /// Null if the page has no translation in the current space. The pointer is good until something is added
  /// or dropped.
  Entry* find(Gla address, Privilege privilege) {
    return const_cast<Entry*>(std::as_const(*this).find(address, privilege));
  }
  const Entry* find(Gla address, Privilege privilege) const {
    const uint32_t slot = slot_of(current_, address.value / kPageSize, privilege);
    return slot != 0 ? &pool_[slot - 1] : nullptr;
  }
  /// To the current space. Replaces the page's translation if there is one. Not when full().
  Entry& add(Gla address, Privilege privilege, const Translation& translation,
             const GuestMemory::Page& backing);
  bool full() const { return size() == kMaxEntries; }
  size_t size() const { return pool_.size() - free_slots_.size(); }
  /// Translations of the space that are not global.
  size_t size_of(unsigned space) const { return spaces_[space] ? spaces_[space]->list.size() : 0; }

  /// Writes the page's words in the TlbTables of the current space, and if it is global in kGlobalSpace's,
  /// from the translation, the code mark and CR0.WP.
  void publish(const Entry& entry, bool write_protect);
  void publish_all(bool write_protect);
  /// Takes away the direct writes to a physical page (A20 applied), in all spaces.
  void withhold_writes(Gpa page);
  /// As if something that could be executed were gone.
  void renew_generation() {
    for (uint64_t& generation : spaces_[current_]->exec_generation) generation = next_generation();
  }

  /// Whether the page has a translation that is global.
  bool is_global(Gla address, Privilege privilege) const {
    const Entry* entry = find(address, privilege);
    return entry != nullptr && entry->space == kGlobal;
  }

  /// Drops the translations of the page, and those of the whole large page that holds it: the current space's
  /// and the global ones.
  void drop_page(Gla address);
  /// Drops the translations of `count` pages that are not global and below 4 GiB; if `survivors_only`, those
  /// that were there before the latest enter(). Returns how many there were.
  size_t drop_range(unsigned space, uint64_t first_page, uint64_t count, bool survivors_only = false);
  /// Whether the space has translations of these that are not global.
  bool has_any(unsigned space, uint64_t first_page, uint64_t count) const;
  /// Drops all that are not global. Costs what it drops.
  void drop_space(unsigned space);
  void flush();

 private:
  static constexpr unsigned kFrameBuckets = 1u << 14;
  static constexpr uint64_t kRegionPages = 1024;  ///< of 4 MiB, the largest page of 32-bit address spaces
  static constexpr uint64_t kRegions = TlbTables::kPages / kRegionPages;
  using Slots = std::array<SparseArray<uint32_t>, 2>;  ///< by privilege and linear page; 0: none

  struct Space {
    Space();
    SparseArray<TlbTables> tables{2};
    std::array<SparseArray<uint8_t>, 2> mirrored{SparseArray<uint8_t>{TlbTables::kPages},
                                                 SparseArray<uint8_t>{TlbTables::kPages}};
    std::array<TlbMirror, 2> mirrors;
    std::array<uint64_t, 2> exec_generation{};
    Slots slots{SparseArray<uint32_t>{TlbTables::kPages}, SparseArray<uint32_t>{TlbTables::kPages}};
    std::vector<uint32_t> list;                  ///< slots of its translations
    std::array<uint32_t, kRegions> in_region{};  ///< how many of them
    bool write_protect = false;                  ///< that its tables are for
  };

  static size_t frame_bucket(Gpa page) { return page.value / kPageSize % kFrameBuckets; }
  /// Pieces of large pages that a look at one 4-MiB region does not find: of larger pages, or above 4 GiB.
  static bool is_wide(const Entry& entry) {
    return entry.translation.page_size > kRegionPages * kPageSize ||
           entry.linear_page / kPageSize >= TlbTables::kPages;
  }
  uint64_t& pieces_counter(const Entry& entry) {
    return is_wide(entry) ? wide_pieces_ : region_pieces_[entry.linear_page / kPageSize / kRegionPages];
  }

  Space& space(unsigned number);
  /// As the space has it, or else as all have it.
  uint32_t slot_of(unsigned space, uint64_t page, Privilege privilege) const;
  void set_slot(const Entry& entry, uint32_t slot);
  std::vector<uint32_t>& list_of(const Entry& entry) {
    return entry.space == kGlobal ? global_list_ : spaces_[entry.space]->list;
  }
  void drop(uint32_t slot);
  /// Calls f(space) for those whose tables may have the entry's words; its page is below 4 GiB.
  template <class F>
  void for_each_space_with(const Entry& entry, F f);
  /// What a translation permits directly.
  struct Words {
    uint64_t read_delta, write_delta;
    uint32_t exec_frame;
  };
  static Words words_of(const Entry& entry, bool write_protect);
  void set_words(Space& space, uint64_t page, Privilege privilege, const Words& words);
  void clear_words(Space& space, uint64_t page, Privilege privilege);
  uint64_t next_generation() { return ++last_generation_; }

  std::array<std::unique_ptr<Space>, Mmu::kSpaces + 1> spaces_;  ///< null: not used yet
  unsigned current_ = 0;
  uint32_t era_ = 0;
  Slots global_slots_{SparseArray<uint32_t>{TlbTables::kPages}, SparseArray<uint32_t>{TlbTables::kPages}};
  std::vector<uint32_t> global_list_;
  std::unordered_map<uint64_t, uint32_t> high_slots_;  ///< the pages from 4 GiB up, of whatever space
  std::vector<Entry> pool_;                            ///< never reallocated
  std::vector<uint32_t> free_slots_;                   ///< of pool_, plus 1
  std::vector<uint32_t> frame_heads_;
  std::array<uint64_t, kRegions> region_pieces_{};  ///< of large pages, in all spaces
  uint64_t wide_pieces_ = 0;
  uint64_t last_generation_ = 0;  ///< no two spaces ever have the same
};

}  // namespace vireo
