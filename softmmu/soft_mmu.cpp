#include "softmmu/soft_mmu.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "core/log.h"

namespace vireo {

SoftMmu::SoftMmu(CpuState& cpu, GuestMemory& memory, unsigned physical_bits)
    : cpu_(cpu),
      memory_(memory),
      table_memory_(memory),
      physical_bits_(physical_bits),
      spaces_(cpu, memory, tlb_),
      controls_(controls()) {
  space_changed();
  memory_.add_listener(*this);
}

void SoftMmu::space_changed() {
  exec_generation_ = &tlb_.exec_generation();
  for (Privilege privilege : {Privilege::kSupervisor, Privilege::kUser})
    tables_[static_cast<unsigned>(privilege)] = &tlb_.tables(privilege);
}

SoftMmu::~SoftMmu() {
  memory_.remove_listener(*this);
}

SoftMmu::Controls SoftMmu::controls() const {
  return {cpu_.cr0 & (cr0::kPg | cr0::kWp), cpu_.cr4 & (cr4::kPse | cr4::kPae | cr4::kPge),
          cpu_.msr.efer & (efer::kNxe | efer::kLma)};
}

std::optional<PageFault> SoftMmu::fill(Gla address, Access access, Privilege privilege) {
  ++fills_;
  if (const SoftTlb::Entry* cached = tlb_.find(address, privilege)) {
    // A cached translation that does not permit the access, or a first write, makes the processor look at the
    // page tables again.
    if (cached->translation.permits(access, privilege, write_protect()) &&
        (access != Access::kWrite || cached->translation.dirty)) {
      tlb_.publish(*cached, write_protect());
      return std::nullopt;
    }
  }

  ++walks_;
  PageWalk walk(cpu_, table_memory_, physical_bits_, address);
  if (!walk.mapped()) return page_fault(address, access, privilege, walk.fault_bits());
  if (!walk.translation().permits(access, privilege, write_protect())) {
    return page_fault(address, access, privilege, pf::kPresent);
  }
  walking_ = true;
  walk.set_accessed(table_memory_, access == Access::kWrite);
  walking_ = false;
  if (tlb_.full()) spaces_.drop_others();
  if (tlb_.full()) {
    ++overflows_;
    spaces_.flush();
    space_changed();
  }
  // Whoever writes to a page through a host address that it has looked up earlier must look again.
  if (spaces_.note_walk(walk, address)) tlb_.renew_generation();
  Translation translation = walk.translation();
  translation.page.value &= memory_.a20_mask();
  tlb_.publish(tlb_.add(address, privilege, translation, memory_.page(translation.page)), write_protect());
  if (translation.page_size > kPageSize || !cpu_.paging()) fill_around(address, privilege, translation);
  return std::nullopt;
}

void SoftMmu::fill_around(Gla address, Privilege privilege, Translation translation) {
  if (address.value / kPageSize >= TlbTables::kPages || tlb_.size() > SoftTlb::kMaxEntries / 2) return;
  // The same walk, or none, so nobody can tell.
  constexpr uint64_t kAround = 16 * kPageSize;
  const uint64_t first = address.value & ~(kAround - 1);
  const Gpa physical{translation.page.value & ~(kAround - 1)};
  for (uint64_t offset = 0; offset < kAround; offset += kPageSize) {
    const Gla page{first + offset};
    if (tlb_.find(page, privilege) != nullptr) continue;
    translation.page = physical + offset;
    translation.page.value &= memory_.a20_mask();
    tlb_.publish(tlb_.add(page, privilege, translation, memory_.page(translation.page)), write_protect());
  }
}

bool SoftMmu::permits(Gla address, Access access, Privilege privilege) const {
  if (const SoftTlb::Entry* cached = tlb_.find(address, privilege)) {
    if (cached->translation.permits(access, privilege, write_protect()) &&
        (access != Access::kWrite || cached->translation.dirty)) {
      return true;
    }
  }
  const PageWalk walk(cpu_, table_memory_, physical_bits_, address);
  return walk.mapped() && walk.translation().permits(access, privilege, write_protect());
}

PageFault SoftMmu::page_fault(Gla address, Access access, Privilege privilege, uint32_t cause) {
  uint32_t code = cause;
  if (access == Access::kWrite) code |= pf::kWrite;
  if (privilege == Privilege::kUser) code |= pf::kUser;
  if (access == Access::kExecute && (cpu_.cr4 & cr4::kPae) && (cpu_.msr.efer & efer::kNxe))
    code |= pf::kFetch;
  // The fault itself drops cached translations of the page (SDM 3A 4.10.4.1).
  tlb_.drop_page(address);
  ++faults_;
  trace(LogCategory::kMmu, "page fault at {:#x}, error code {:#x}", address.value, code);
  return {address, code};
}

void SoftMmu::read_slow(Gla address, Privilege privilege, void* out, unsigned size) {
  auto* bytes = static_cast<uint8_t*>(out);
  // An access in between, to the other page of an operand, may have dropped the entry.
  const SoftTlb::Entry* entry = tlb_.find(address, privilege);
  if (entry == nullptr) {
    if (fill(address, Access::kRead, privilege)) {
      std::memset(bytes, 0xff, size);
      return;
    }
    entry = tlb_.find(address, privilege);
  }
  if (entry->read != nullptr) {
    std::memcpy(bytes, entry->read + address.page_offset(), size);
    return;
  }
  ++indirect_accesses_;
  Gpa physical = entry->translation.page + address.page_offset();
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
  const SoftTlb::Entry* entry = tlb_.find(address, privilege);
  if (entry == nullptr) {
    if (fill(address, Access::kWrite, privilege)) return;
    entry = tlb_.find(address, privilege);
  }
  if (entry->write == nullptr || *entry->code_mark != 0) ++indirect_accesses_;
  Gpa physical = entry->translation.page + address.page_offset();
  if (entry->write != nullptr) {
    std::memcpy(entry->write + address.page_offset(), bytes, size);
    if (*entry->code_mark != 0) memory_.code_written(physical, size, MemoryListener::Writer::kStore);
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
  const PageWalk walk(cpu_, table_memory_, physical_bits_, address);
  if (!walk.mapped()) return std::nullopt;
  return walk.translation().page + address.page_offset();
}

void SoftMmu::invalidate_page(Gla address) {
  ++invalidations_;
  tlb_.drop_page(address);
  spaces_.invalidated(address);
}

void SoftMmu::cr3_loaded() {
  ++cr3_loads_;
  spaces_.load();
  space_changed();
}

void SoftMmu::flush() {
  ++flushes_;
  spaces_.flush();
  space_changed();
}

void SoftMmu::control_registers_changed() {
  const Controls now = controls();
  const Controls before = std::exchange(controls_, now);
  if (now == before) return;
  Controls without_wp = before;
  without_wp.cr0 = (before.cr0 & ~cr0::kWp) | (now.cr0 & cr0::kWp);
  if (now != without_wp) {
    flush();
    return;
  }
  // CR0.WP is not part of a cached translation: the rights are judged anew at each access.
  tlb_.publish_all(write_protect());
}

void SoftMmu::on_layout_changed() {
  table_memory_.forget();
  flush();
}

void SoftMmu::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  visit("tlb/entries", tlb_.size());
  visit("tlb/fills", fills_);
  visit("tlb/walks", walks_);
  visit("tlb/faults", faults_);
  visit("tlb/flushes", flushes_);
  visit("tlb/loads of CR3", cr3_loads_);
  visit("tlb/overflows", overflows_);
  visit("tlb/invalidations", invalidations_);
  spaces_.visit_stats(visit);
}

}  // namespace vireo
