#include "softmmu/soft_mmu.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/log.h"

namespace vireo {

namespace {

constexpr uint64_t kLargeRegionBytes = uint64_t{1} << 22;

size_t large_region(uint64_t linear) {
  return (linear / kLargeRegionBytes) % 1024;
}

}  // namespace

SoftMmu::SoftMmu(CpuState& cpu, GuestMemory& memory, unsigned physical_bits)
    : cpu_(cpu), memory_(memory), tables_(memory), physical_bits_(physical_bits), controls_(controls()) {
  filled_.reserve(2 * kTlbEntries);
  memory_.add_listener(*this);
}

SoftMmu::~SoftMmu() {
  memory_.remove_listener(*this);
}

SoftMmu::Controls SoftMmu::controls() const {
  return {cpu_.cr0 & (cr0::kPg | cr0::kWp), cpu_.cr4 & (cr4::kPse | cr4::kPae | cr4::kPge),
          cpu_.msr.efer & (efer::kNxe | efer::kLma)};
}

std::optional<PageFault> SoftMmu::fill(Gla address, Access access, Privilege privilege) {
  const uint64_t linear_page = address.value & ~kPageMask;
  TlbEntry& cached = entry(address, privilege);
  if (cached.slow_page == linear_page) {
    const Detail& d = detail(address, privilege);
    // A cached translation that does not permit the access, or a first write, makes the processor look at the
    // page tables again.
    if (d.translation.permits(access, privilege, write_protect()) &&
        (access != Access::kWrite || d.translation.dirty)) {
      publish(cached, d, privilege, linear_page);
      return std::nullopt;
    }
  }

  ++walks_;
  PageWalk walk(cpu_, tables_, physical_bits_, address);
  if (!walk.mapped()) return page_fault(address, access, privilege, walk.fault_bits());
  if (!walk.translation().permits(access, privilege, write_protect())) {
    return page_fault(address, access, privilege, pf::kPresent);
  }
  walk.set_accessed(tables_, access == Access::kWrite);
  install(address, privilege, walk.translation());
  return std::nullopt;
}

void SoftMmu::install(Gla address, Privilege privilege, const Translation& translation) {
  TlbEntry& e = entry(address, privilege);
  Detail& d = detail(address, privilege);
  if (!d.listed) {
    d.listed = true;
    filled_.push_back(
        {static_cast<uint8_t>(privilege), static_cast<uint16_t>((address.value / kPageSize) % kTlbEntries)});
  }
  const uint64_t linear_page = address.value & ~kPageMask;
  if (translation.page_size > kPageSize) large_regions_.set(large_region(linear_page));
  if (translation.page_size > kLargeRegionBytes) large_regions_.set();
  d.backing = memory_.page(translation.page);
  d.translation = translation;
  e.physical_page = translation.page.value & memory_.a20_mask();
  e.host = d.backing.read != nullptr ? d.backing.read : d.backing.write;
  e.global = translation.global;
  e.slow_page = linear_page;
  publish(e, d, privilege, linear_page);
}

void SoftMmu::publish(TlbEntry& e, const Detail& d, Privilege privilege, uint64_t linear_page) const {
  const auto field = [&](Access access, bool direct) {
    return direct && d.translation.permits(access, privilege, write_protect()) ? linear_page
                                                                               : TlbEntry::kNoPage;
  };
  const GuestMemory::Page& backing = d.backing;
  e.read_page = field(Access::kRead, backing.read != nullptr);
  e.exec_page = field(Access::kExecute, backing.read != nullptr);
  // Shadowed ROM may be read in one place and written in another: only one of them is `host`.
  const bool writable = backing.write != nullptr && backing.write == e.host &&
                        (backing.code_mark == nullptr || *backing.code_mark == 0) && d.translation.dirty;
  e.write_page = field(Access::kWrite, writable);
}

PageFault SoftMmu::page_fault(Gla address, Access access, Privilege privilege, uint32_t cause) {
  uint32_t code = cause;
  if (access == Access::kWrite) code |= pf::kWrite;
  if (privilege == Privilege::kUser) code |= pf::kUser;
  if (access == Access::kExecute && (cpu_.cr4 & cr4::kPae) && (cpu_.msr.efer & efer::kNxe))
    code |= pf::kFetch;
  // The fault itself drops cached translations of the page (SDM 3A 4.10.4.1).
  drop_page(address.value & ~kPageMask);
  ++faults_;
  trace(LogCategory::kMmu, "page fault at {:#x}, error code {:#x}", address.value, code);
  return {address, code};
}

void SoftMmu::read_slow(Gla address, Privilege privilege, void* out, unsigned size) {
  auto* bytes = static_cast<uint8_t*>(out);
  // An MMIO access in between may have changed the layout and with it dropped the entry.
  if (entry(address, privilege).slow_page != (address.value & ~kPageMask) &&
      fill(address, Access::kRead, privilege)) {
    std::memset(bytes, 0xff, size);
    return;
  }
  const Detail& d = detail(address, privilege);
  if (d.backing.read != nullptr) {
    std::memcpy(bytes, d.backing.read + address.page_offset(), size);
    return;
  }
  Gpa physical = d.translation.page + address.page_offset();
  while (size > 0) {
    const unsigned part = std::bit_floor(std::min(size, 8u));
    const uint64_t value = memory_.read_mmio(physical, part);
    std::memcpy(bytes, &value, part);
    bytes += part;
    physical = physical + part;
    size -= part;
  }
}

void SoftMmu::write_slow(Gla address, Privilege privilege, const void* data, unsigned size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  if (entry(address, privilege).slow_page != (address.value & ~kPageMask) &&
      fill(address, Access::kWrite, privilege)) {
    return;
  }
  const Detail& d = detail(address, privilege);
  Gpa physical = d.translation.page + address.page_offset();
  if (d.backing.write != nullptr) {
    std::memcpy(d.backing.write + address.page_offset(), bytes, size);
    if (d.backing.code_mark != nullptr && *d.backing.code_mark != 0) memory_.code_written(physical, size);
    return;
  }
  while (size > 0) {
    const unsigned part = std::bit_floor(std::min(size, 8u));
    uint64_t value = 0;
    std::memcpy(&value, bytes, part);
    memory_.write_mmio(physical, part, value);
    bytes += part;
    physical = physical + part;
    size -= part;
  }
}

std::optional<Gpa> SoftMmu::probe(Gla address) const {
  const PageWalk walk(cpu_, tables_, physical_bits_, address);
  if (!walk.mapped()) return std::nullopt;
  return walk.translation().page + address.page_offset();
}

void SoftMmu::drop_page(uint64_t linear_page) {
  if (large_regions_.test(large_region(linear_page))) {
    for (Slot slot : filled_) {
      TlbEntry& e = tlb_[slot.privilege][slot.index];
      const uint64_t page_size = details_[slot.privilege][slot.index].translation.page_size;
      if (((e.slow_page ^ linear_page) & ~(page_size - 1)) == 0) e = TlbEntry{};
    }
    return;
  }
  for (Privilege privilege : {Privilege::kSupervisor, Privilege::kUser}) {
    TlbEntry& e = entry({linear_page}, privilege);
    if (e.slow_page == linear_page) e = TlbEntry{};
  }
}

void SoftMmu::invalidate_page(Gla address) {
  ++invalidations_;
  drop_page(address.value & ~kPageMask);
}

void SoftMmu::flush(bool global_too) {
  ++flushes_;
  std::erase_if(filled_, [&](Slot slot) {
    TlbEntry& e = tlb_[slot.privilege][slot.index];
    if (!global_too && e.global) return false;
    e = TlbEntry{};
    details_[slot.privilege][slot.index].listed = false;
    return true;
  });
  if (filled_.empty()) large_regions_.reset();
}

void SoftMmu::control_registers_changed() {
  const Controls now = controls();
  const Controls before = std::exchange(controls_, now);
  if (now == before) return;
  Controls without_wp = before;
  without_wp.cr0 = (before.cr0 & ~cr0::kWp) | (now.cr0 & cr0::kWp);
  if (now != without_wp) {
    flush(true);
    return;
  }
  // CR0.WP is not part of a cached translation: the rights are judged anew at each access.
  for (Slot slot : filled_) {
    TlbEntry& e = tlb_[slot.privilege][slot.index];
    if (e.slow_page == TlbEntry::kNoPage) continue;
    publish(e, details_[slot.privilege][slot.index], static_cast<Privilege>(slot.privilege), e.slow_page);
  }
}

void SoftMmu::on_layout_changed() {
  tables_.forget();
  flush(true);
}

void SoftMmu::on_code_marked(Gpa page) {
  for (Slot slot : filled_) {
    TlbEntry& e = tlb_[slot.privilege][slot.index];
    if (e.physical_page == page.value) e.write_page = TlbEntry::kNoPage;
  }
}

void SoftMmu::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  visit("tlb_walks", walks_);
  visit("tlb_faults", faults_);
  visit("tlb_flushes", flushes_);
  visit("tlb_invalidations", invalidations_);
}

}  // namespace vireo
