#include "translator/descriptor_cache.h"

#include <cstring>

#include "core/interp/protection.h"

namespace vireo::translator {

using interp::Descriptor;
using interp::Interp;

void DescriptorCache::look(const Interp& interp) {
  const CpuState& cpu = interp.cpu;
  const Basis now{cpu.gdtr.base,  cpu.ldtr.base,      cpu.gdtr.limit,
                  cpu.ldtr.limit, cpu.ldtr.present(), interp.views_comparable()};
  if (now == basis) return;
  basis = now;
  for (auto* entries : {&loads, &verifications}) {
    for (Entry& entry : *entries) entry.key = 0;
  }
}

namespace {

/// All of an entry that says where the descriptor is; nothing if that must not be kept.
std::optional<DescriptorCache::Entry> find(const Interp& interp, const DescriptorCache::Basis& basis,
                                           uint32_t key) {
  const auto selector = static_cast<uint16_t>(key & DescriptorCache::kSelector);
  const bool local = selector & 4;
  const uint64_t offset = selector & 0xfff8, limit = local ? basis.ldt_limit : basis.gdt_limit;
  if (interp::is_null(selector) || (local && !basis.ldt_present) || offset + 7 > limit) return std::nullopt;
  const uint64_t linear = (local ? basis.ldt : basis.gdt) + offset;
  const uint8_t* host = interp.mmu.fast_read({linear}, 8, Privilege::kSupervisor);
  if (host == nullptr) return std::nullopt;
  DescriptorCache::Entry entry;
  entry.key = key & ~DescriptorCache::kRegister;
  entry.tlb_word = linear / kPageSize * sizeof(uint64_t);
  entry.host = reinterpret_cast<uint64_t>(host);
  entry.delta = entry.host - linear;
  std::memcpy(&entry.raw, host, 8);
  return entry;
}

}  // namespace

void DescriptorCache::note_load(const Interp& interp, uint32_t key, SegReg which) {
  if (!basis.comparable) return;
  std::optional<Entry> entry = find(interp, basis, key);
  if (!entry) return;
  const Descriptor descriptor{static_cast<uint32_t>(entry->raw), static_cast<uint32_t>(entry->raw >> 32)};
  constexpr uint32_t kAccessed = 1u << 8;
  entry->segment = descriptor.segment(static_cast<uint16_t>(key & kSelector));
  // A ROM may not have taken the accessed bit.
  if (!(descriptor.high & kAccessed) ||
      std::memcmp(&entry->segment, &interp.cpu.segment(which), sizeof(Segment)) != 0) {
    return;
  }
  entry->view = interp.segment_views()[static_cast<unsigned>(which)];
  loads[(key & kIndexMask) >> 3] = *entry;
}

void DescriptorCache::note_verify(const Interp& interp, uint32_t key, bool zf) {
  if (!basis.comparable) return;
  std::optional<Entry> entry = find(interp, basis, key);
  if (!entry) return;
  entry->zf = zf ? static_cast<uint32_t>(rflags::kZf << 8) : 0;
  verifications[(key & kIndexMask) >> 3] = *entry;
}

}  // namespace vireo::translator
