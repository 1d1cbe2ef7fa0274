// Which pages of guest RAM are paging structures that cached translations come from, so that the guest's
// writes to them can be told apart from all others. A watched page is marked in GuestMemory.
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/guest_memory.h"
#include "core/mmu.h"

namespace vireo {

class TableWatch {
 public:
  /// One of the places that a table has in the address spaces: it covers linear addresses from
  /// `index << (12 + level * index bits)` on.
  struct Use {
    uint8_t space;
    uint8_t level;  ///< 1: its entries are pages, 2: they are tables of level 1 or large pages
    uint16_t index;
    bool operator==(const Use&) const = default;
  };

  explicit TableWatch(GuestMemory& memory) : memory_(memory) {}

  /// False if the page cannot be watched: it is not RAM.
  bool add(Gpa page, Use use);
  /// Of the page that `address` is in. The reference is good until the next call of another member.
  const std::vector<Use>& uses(Gpa address) const;
  void drop_space(unsigned space);
  size_t pages() const { return uses_.size(); }

 private:
  GuestMemory& memory_;
  std::unordered_map<uint64_t, std::vector<Use>> uses_;       ///< by page address
  std::array<std::vector<uint64_t>, Mmu::kSpaces> pages_of_;  ///< with repetitions
};

}  // namespace vireo
