// The software TLB behind the Mmu contract. A cached translation stays until INVLPG, a flush, or a page fault
// on it, however the page tables change meanwhile, as on the hardware (SDM 3A 4.10); address_spaces.h says
// which loads of CR3 do not really flush. It never makes room for
// another: which translations are cached follows from the guest's accesses alone, not from who looks them up.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "core/cpu_state.h"
#include "core/mmu.h"
#include "softmmu/address_spaces.h"
#include "softmmu/page_walk.h"
#include "softmmu/soft_tlb.h"

namespace vireo {

class SoftMmu final : public Mmu, private MemoryListener {
 public:
  /// Both live longer than this. Paging state is taken from `cpu` at every walk. `physical_bits`: MAXPHYADDR.
  SoftMmu(CpuState& cpu, GuestMemory& memory, unsigned physical_bits = 36);
  ~SoftMmu() override;

  std::optional<PageFault> fill(Gla address, Access access, Privilege privilege) override;
  bool permits(Gla address, Access access, Privilege privilege) const override;
  void read_slow(Gla address, Privilege privilege, void* out, unsigned size) override;
  void write_slow(Gla address, Privilege privilege, const void* bytes, unsigned size) override;
  std::optional<Gpa> probe(Gla address) const override;
  void invalidate_page(Gla address) override;
  void cr3_loaded() override;
  void flush() override;
  void control_registers_changed() override;

  unsigned space() const override { return tlb_.current(); }
  uint64_t space_serial() const override { return spaces_.serial(); }
  TlbMirror& mirror(Privilege privilege) override { return tlb_.mirror(privilege); }
  const TlbTables& global_tables(Privilege privilege) override { return tlb_.global_tables(privilege); }
  TlbMirror& global_mirror(Privilege privilege) override { return tlb_.global_mirror(privilege); }
  bool is_global(Gla address, Privilege privilege) const override {
    return tlb_.is_global(address, privilege);
  }
  void keep_spaces_after(uint32_t loads) override { spaces_.keep_after(loads); }
  void visit_stats(const std::function<void(std::string_view name, uint64_t value)>& visit) const override;

 private:
  /// Control-register bits that decide what cached translations mean.
  struct Controls {
    uint64_t cr0 = 0;
    uint64_t cr4 = 0;
    uint64_t efer = 0;
    bool operator==(const Controls&) const = default;
  };

  void on_code_written(Gpa, uint64_t, Writer) override {}
  void on_tables_written(Gpa start, uint64_t size) override {
    if (!walking_) spaces_.written(start, size);
  }
  void on_layout_changed() override;
  void on_code_marked(Gpa page) override { tlb_.withhold_writes(page); }

  /// Gives some neighbours of a page its translation: pieces of the same large page, or of memory without
  /// paging.
  void fill_around(Gla address, Privilege privilege, Translation translation);
  PageFault page_fault(Gla address, Access access, Privilege privilege, uint32_t cause);
  Controls controls() const;
  /// The current space is another one.
  void space_changed();
  bool write_protect() const { return cpu_.cr0 & cr0::kWp; }

  CpuState& cpu_;
  GuestMemory& memory_;
  mutable TableMemory table_memory_;
  const unsigned physical_bits_;
  SoftTlb tlb_;
  AddressSpaces spaces_;
  bool walking_ = false;  ///< sets A and D bits: no change that anyone could miss
  Controls controls_;
  uint64_t fills_ = 0, walks_ = 0, faults_ = 0, flushes_ = 0, cr3_loads_ = 0, overflows_ = 0,
           invalidations_ = 0;
};

}  // namespace vireo
