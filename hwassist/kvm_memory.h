// Keeps KVM's memory slots like the layout of the guest's physical memory: RAM and ROM are slots, all else
// exits.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "core/guest_memory.h"
#include "core/result.h"
#include "hwassist/kvm_vm.h"

namespace vireo::hwassist {

class KvmMemory final : public MemoryListener {
 public:
  KvmMemory(KvmVm& vm, GuestMemory& memory);
  ~KvmMemory() override;
  KvmMemory(const KvmMemory&) = delete;
  KvmMemory& operator=(const KvmMemory&) = delete;

  /// To be called before guest code runs. The A20 gate must be open: no slot can show memory as if it were
  /// closed.
  Result<void> update();
  /// Has KVM forget all that it has made of the guest's page tables, in its TLB and in shadow page tables:
  /// somebody else has written to them, or executed INVLPG.
  Result<void> forget_tables();

  // The guest's own stores are not told to anybody, so that nobody is told of others' either.
  void on_code_written(Gpa, uint64_t, Writer) override {}
  void on_layout_changed() override { stale_ = true; }
  void on_mmio_changed() override { stale_ = true; }  // some of it may be writes that wait

 private:
  struct Free {
    size_t bytes;
    void operator()(uint8_t* memory) const;
  };
  struct Slot {
    uint32_t number = 0;
    GuestMemory::DirectRange range;
    std::unique_ptr<uint8_t, Free> copy{nullptr, Free{0}};  ///< of ROM that does not start at a host page
  };

  Result<void> remove(const Slot& slot) {
    return vm_.set_slot(slot.number, slot.range.start, 0, nullptr, true);
  }
  Result<void> add(const GuestMemory::DirectRange& range);
  Result<void> update_slots();
  Result<void> update_waiting();
  uint32_t free_number() const;

  KvmVm& vm_;
  GuestMemory& memory_;
  bool stale_ = true;
  std::map<uint64_t, Slot> slots_;  ///< by where they start
  std::vector<GuestMemory::MmioRange> waiting_;
};

}  // namespace vireo::hwassist
