// Which address spaces have their translations kept while CR3 holds another value. A load of CR3 drops all
// that is not global (SDM 3A 4.10.4.1); nobody can tell whether a translation was dropped and found again by
// a walk or was never dropped, as long as the walk would have found the same. So the paging structures of
// kept address spaces are watched, and what a write may have changed is dropped at once. But a translation
// that was found since the latest load stays until the next one, INVLPG or a fault, as on the hardware.
// A write where no translation is cached, as to a page that becomes present, leaves nothing to drop then.
//
// Keeping pays when more walks are saved than writes to paging structures have to be told. Address spaces
// that are loaded seldom, or whose tables change much, are not kept. Where one is gone, the next with the
// same CR3 is likely to be as short-lived.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/cpu_state.h"
#include "softmmu/page_walk.h"
#include "softmmu/soft_tlb.h"
#include "softmmu/table_watch.h"

namespace vireo {

class AddressSpaces {
 public:
  AddressSpaces(const CpuState& cpu, GuestMemory& memory, SoftTlb& tlb);

  /// CR3 has been loaded.
  void load();
  /// Drops everything, global translations too.
  void flush();
  /// Drops what belongs to other address spaces than the current one.
  void drop_others();
  /// The page was invalidated.
  void invalidated(Gla page);
  /// A walk gives a translation for the current address space. True if somebody's right to write to a page
  /// directly is gone now.
  bool note_walk(const PageWalk& walk, Gla address);
  /// Guest memory that is marked has been written.
  void written(Gpa start, uint64_t size);

  /// Never changes while CR3 has the same value and nothing is flushed; a new one for each use of a space.
  uint64_t serial() const { return spaces_[tlb_.current()].serial; }

  /// An address space is kept from this load on, and for ever; 0: never.
  void keep_after(uint32_t loads) {
    loads_before_keeping_ = loads != 0 ? loads : ~0u;
    judged_ = false;
  }
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const;

 private:
  struct Range {
    uint32_t page, count;
  };
  struct Space {
    uint64_t cr3 = kNoCr3;
    uint64_t serial = 0;
    std::array<uint64_t, 4> pdpte{};
    bool kept = false;
    bool all_stale = false;    ///< of the current space: everything goes at the next load
    std::vector<Range> stale;  ///< of the current space: goes at the next load
    uint64_t loaded_at = 0;    ///< number of the latest load
    /// Page numbers plus 1 of the tables that are watched, by level and index as in TableWatch::Use.
    std::array<uint32_t, 4> level2{};
    std::array<uint32_t, 2048> level1{};

    // Since it was judged:
    uint32_t loads = 0;
    uint64_t walks = 0;   ///< while not kept: those whose translations loads have dropped
    uint64_t writes = 0;  ///< while kept: those that had to be told
    uint64_t writes_since_load = 0, walks_since_load = 0;
    uint64_t walks_per_load = 0;  ///< as found before it was kept
    unsigned backoff = 0;         ///< it has not paid so often
  };
  static constexpr uint64_t kNoCr3 = ~uint64_t{0};

  bool may_keep() const;
  void leave_current();
  void enter();
  unsigned find_or_choose();
  void judge(unsigned number);
  void stop_watching(unsigned number);
  void forget(unsigned number);
  /// Its tables are used for something else, by the looks of it.
  void gone(unsigned number);
  void note_write(unsigned number, Range range);

  const CpuState& cpu_;
  GuestMemory& memory_;
  SoftTlb& tlb_;
  TableWatch watch_;
  std::array<Space, Mmu::kSpaces> spaces_;
  uint64_t loads_ = 0, last_serial_ = 0;
  uint32_t loads_before_keeping_ = 4;
  bool judged_ = true;
  uint64_t kept_loads_ = 0, kept_entries_ = 0, writes_ = 0, given_up_ = 0, gone_ = 0, evicted_ = 0;
};

}  // namespace vireo
