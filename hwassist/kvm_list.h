// Structures of KVM's that an array of entries follows.
#pragma once

#include <linux/kvm.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace vireo::hwassist {

/// What kvm_msrs and kvm_cpuid2 begin with. Those themselves are of no use: in C++ the kernel's empty member
/// in front of a flexible array takes room, which makes the entries' offsets wrong and the numbers of the
/// calls, too.
struct KvmListHeader {
  uint32_t count = 0;
  uint32_t pad = 0;
};
static_assert(sizeof(KvmListHeader) == 8, "as in C, and so in KVM_SET_CPUID2, KVM_GET_MSRS, KVM_SET_MSRS");

/// kvm_xsave without what follows it.
struct KvmXsave {
  std::array<uint8_t, 4096> bytes;
};

template <class Entry>
class KvmList {
 public:
  explicit KvmList(size_t count)
      : memory_(1 + (count * sizeof(Entry) + sizeof(uint64_t) - 1) / sizeof(uint64_t)) {
    header()->count = static_cast<uint32_t>(count);
  }
  KvmListHeader* header() { return reinterpret_cast<KvmListHeader*>(memory_.data()); }
  uint32_t count() { return header()->count; }
  Entry& entry(size_t i) { return reinterpret_cast<Entry*>(memory_.data() + 1)[i]; }

 private:
  std::vector<uint64_t> memory_;
};

using KvmMsrList = KvmList<kvm_msr_entry>;

/// For KVM_SET_CPUID2.
class KvmCpuidList : public KvmList<kvm_cpuid_entry2> {
 public:
  explicit KvmCpuidList(const std::vector<kvm_cpuid_entry2>& entries) : KvmList(entries.size()) {
    for (size_t i = 0; i < entries.size(); ++i) entry(i) = entries[i];
  }
};

inline kvm_cpuid_entry2 cpuid_entry(uint32_t leaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx) {
  kvm_cpuid_entry2 entry{};
  entry.function = leaf;
  entry.eax = eax;
  entry.ebx = ebx;
  entry.ecx = ecx;
  entry.edx = edx;
  return entry;
}

}  // namespace vireo::hwassist
