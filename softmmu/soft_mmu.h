// The software TLB behind the Mmu contract. A cached translation stays until INVLPG, a flush, or a page fault
// on it, however the page tables change meanwhile, as on the hardware (SDM 3A 4.10).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/cpu_state.h"
#include "core/mmu.h"
#include "softmmu/page_walk.h"

namespace vireo {

class SoftMmu final : public Mmu, private MemoryListener {
 public:
  /// Both live longer than this. Paging state is taken from `cpu` at every walk. `physical_bits`: MAXPHYADDR.
  SoftMmu(CpuState& cpu, GuestMemory& memory, unsigned physical_bits = 36);
  ~SoftMmu() override;

  std::optional<PageFault> fill(Gla address, Access access, Privilege privilege) override;
  void read_slow(Gla address, Privilege privilege, void* out, unsigned size) override;
  void write_slow(Gla address, Privilege privilege, const void* bytes, unsigned size) override;
  std::optional<Gpa> probe(Gla address) const override;
  void invalidate_page(Gla address) override;
  void flush(bool global_too) override;
  void control_registers_changed() override;

  void visit_stats(const std::function<void(std::string_view name, uint64_t value)>& visit) const override;

 private:
  /// What an entry knows beyond TlbEntry.
  struct Detail {
    GuestMemory::Page backing;
    Translation translation;
    bool listed = false;  ///< in filled_
  };
  struct Slot {
    uint8_t privilege;
    uint16_t index;
  };
  /// Control-register bits that decide what cached translations mean.
  struct Controls {
    uint64_t cr0 = 0;
    uint64_t cr4 = 0;
    uint64_t efer = 0;
    bool operator==(const Controls&) const = default;
  };

  void on_code_written(Gpa, uint64_t) override {}
  void on_layout_changed() override;
  void on_code_marked(Gpa page) override;

  Detail& detail(Gla address, Privilege privilege) {
    return details_[static_cast<unsigned>(privilege)][(address.value / kPageSize) % kTlbEntries];
  }
  /// Enters a translation, replacing what shares its slot.
  void install(Gla address, Privilege privilege, const Translation& translation);
  /// Derives the *_page fields from the translation, the backing and CR0.WP.
  void publish(TlbEntry& entry, const Detail& detail, Privilege privilege, uint64_t linear_page) const;
  PageFault page_fault(Gla address, Access access, Privilege privilege, uint32_t cause);
  void drop_page(uint64_t linear_page);
  Controls controls() const;
  bool write_protect() const { return cpu_.cr0 & cr0::kWp; }

  CpuState& cpu_;
  GuestMemory& memory_;
  mutable TableMemory tables_;
  const unsigned physical_bits_;
  std::array<std::array<Detail, kTlbEntries>, 2> details_;
  std::vector<Slot> filled_;  ///< slots used since the last flush, so that a flush costs what it drops
  /// 4-MiB regions (linear bits 22 to 31) that may hold pieces of a large page: INVLPG there drops all
  /// pieces.
  std::bitset<1024> large_regions_;
  Controls controls_;
  uint64_t walks_ = 0, faults_ = 0, flushes_ = 0, invalidations_ = 0;
};

}  // namespace vireo
