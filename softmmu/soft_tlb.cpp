#include "softmmu/soft_tlb.h"

#include "core/check.h"

namespace vireo {

SoftTlb::SoftTlb() : frame_heads_(kFrameBuckets, 0) {
  pool_.reserve(kMaxEntries);
  for (unsigned i = 0; i < 2; ++i) mirrors_[i].pages = {&mirrored_[i][0], TlbTables::kPages};
}

SoftTlb::Entry& SoftTlb::add(Gla address, Privilege privilege, const Translation& translation,
                             const GuestMemory::Page& backing) {
  if (const uint32_t old = slot_of(address.value / kPageSize, privilege)) drop(old);
  CHECK(!full());
  if (free_slots_.empty()) {
    pool_.emplace_back();
    free_slots_.push_back(static_cast<uint32_t>(pool_.size()));
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();

  std::vector<uint32_t>& list = lists_[translation.global];
  uint32_t& head = frame_heads_[frame_bucket(translation.page)];
  Entry& entry = pool_[slot - 1];
  entry = {.linear_page = address.page().value,
           .translation = translation,
           .read = backing.read,
           .write = backing.write,
           .code_mark = backing.code_mark,
           .privilege = privilege,
           .next_of_frame = head,
           .previous_of_frame = 0,
           .list_position = static_cast<uint32_t>(list.size())};
  if (head != 0) pool_[head - 1].previous_of_frame = slot;
  head = slot;
  list.push_back(slot);
  set_slot(entry, slot);
  if (translation.page_size > kPageSize) ++pieces_counter(entry);
  return entry;
}

void SoftTlb::set_slot(const Entry& entry, uint32_t slot) {
  const uint64_t page = entry.linear_page / kPageSize;
  const unsigned privilege = static_cast<unsigned>(entry.privilege);
  if (page < TlbTables::kPages) {
    slots_[privilege][page] = slot;
  } else if (slot != 0) {
    high_slots_[page << 1 | privilege] = slot;
  } else {
    high_slots_.erase(page << 1 | privilege);
  }
}

void SoftTlb::drop(uint32_t slot) {
  const Entry& entry = pool_[slot - 1];
  if (const uint64_t page = entry.linear_page / kPageSize; page < TlbTables::kPages) {
    TlbTables& tables = this->tables(entry.privilege);
    tables.read_delta[page] = 0;
    tables.write_delta[page] = 0;
    exec_generation_[static_cast<unsigned>(entry.privilege)] += tables.exec_frame[page] != 0;
    tables.exec_frame[page] = 0;
    mirror(entry.privilege).restrict(page, 0);
  }
  set_slot(entry, 0);
  if (entry.translation.page_size > kPageSize) --pieces_counter(entry);

  const uint32_t next = entry.next_of_frame, previous = entry.previous_of_frame;
  (previous != 0 ? pool_[previous - 1].next_of_frame : frame_heads_[frame_bucket(entry.translation.page)]) =
      next;
  if (next != 0) pool_[next - 1].previous_of_frame = previous;

  std::vector<uint32_t>& list = lists_[entry.translation.global];
  const uint32_t last = list.back();
  pool_[last - 1].list_position = entry.list_position;
  list[entry.list_position] = last;
  list.pop_back();
  free_slots_.push_back(slot);
}

void SoftTlb::publish(const Entry& entry, bool write_protect) {
  const uint64_t page = entry.linear_page / kPageSize;
  if (page >= TlbTables::kPages) return;
  const auto permits = [&](Access access) {
    return entry.translation.permits(access, entry.privilege, write_protect);
  };
  TlbTables& tables = this->tables(entry.privilege);
  const uint64_t delta = entry.read != nullptr && permits(Access::kRead)
                             ? reinterpret_cast<uint64_t>(entry.read) - entry.linear_page
                             : 0;
  tables.read_delta[page] = delta;
  // Shadowed ROM may be read in one place and written in another.
  const bool writable = entry.write == entry.read && entry.code_mark != nullptr &&
                        !GuestMemory::must_tell(*entry.code_mark) && entry.translation.dirty &&
                        permits(Access::kWrite);
  tables.write_delta[page] = writable ? delta : 0;
  const unsigned readable = delta != 0 ? TlbMirror::kRead : 0;
  mirror(entry.privilege)
      .restrict(page, static_cast<uint8_t>(writable ? readable | TlbMirror::kWrite : readable));
  const uint64_t frame = entry.translation.page.value / kPageSize + 1;
  const bool executable = delta != 0 && permits(Access::kExecute) && frame <= UINT32_MAX;
  const uint32_t before = tables.exec_frame[page];
  tables.exec_frame[page] = executable ? static_cast<uint32_t>(frame) : 0;
  exec_generation_[static_cast<unsigned>(entry.privilege)] +=
      before != 0 && before != tables.exec_frame[page];
}

void SoftTlb::publish_all(bool write_protect) {
  for (const std::vector<uint32_t>& list : lists_) {
    for (uint32_t slot : list) publish(pool_[slot - 1], write_protect);
  }
}

void SoftTlb::withhold_writes(Gpa page) {
  for (uint32_t slot = frame_heads_[frame_bucket(page)]; slot != 0; slot = pool_[slot - 1].next_of_frame) {
    const Entry& entry = pool_[slot - 1];
    const uint64_t linear = entry.linear_page / kPageSize;
    if (entry.translation.page == page && linear < TlbTables::kPages) {
      tables(entry.privilege).write_delta[linear] = 0;
      mirror(entry.privilege).restrict(linear, TlbMirror::kRead);
    }
  }
}

void SoftTlb::drop_page(Gla address) {
  const uint64_t page = address.value / kPageSize;
  for (Privilege privilege : {Privilege::kSupervisor, Privilege::kUser}) {
    if (const uint32_t slot = slot_of(page, privilege)) drop(slot);
  }
  const auto drop_if_same_page = [&](uint32_t slot) {
    const Entry& entry = pool_[slot - 1];
    if (((entry.linear_page ^ address.value) & ~(entry.translation.page_size - 1)) == 0) drop(slot);
  };
  if (page < TlbTables::kPages && region_pieces_[page / kRegionPages] != 0) {
    const uint64_t first = page & ~(kRegionPages - 1);
    for (SparseArray<uint32_t>& slots : slots_) {
      for (uint64_t p = first; p < first + kRegionPages; ++p) {
        if (slots[p] != 0) drop_if_same_page(slots[p]);
      }
    }
  }
  if (wide_pieces_ != 0) {
    for (std::vector<uint32_t>& list : lists_) {
      // Backwards, because the last takes the place of one that goes.
      for (size_t i = list.size(); i-- > 0;) drop_if_same_page(list[i]);
    }
  }
}

void SoftTlb::flush(bool global_too) {
  for (std::vector<uint32_t>* list : {&lists_[0], &lists_[1]}) {
    while (!list->empty()) drop(list->back());
    if (!global_too) return;
  }
}

}  // namespace vireo
