#include "softmmu/soft_tlb.h"

#include "core/check.h"

namespace vireo {

SoftTlb::Space::Space() {
  for (unsigned i = 0; i < 2; ++i) mirrors[i].pages = {&mirrored[i][0], TlbTables::kPages};
}

SoftTlb::SoftTlb() : frame_heads_(kFrameBuckets, 0) {
  pool_.reserve(kMaxEntries);
  space(0);
}

SoftTlb::Space& SoftTlb::space(unsigned number) {
  std::unique_ptr<Space>& space = spaces_[number];
  if (!space) {
    space = std::make_unique<Space>();
    for (uint64_t& generation : space->exec_generation) generation = next_generation();
    if (number == kGlobalSpace) {
      const bool write_protect = spaces_[current_]->write_protect;
      for (const uint32_t slot : global_list_) {
        const Entry& entry = pool_[slot - 1];
        if (const uint64_t page = entry.linear_page / kPageSize; page < TlbTables::kPages)
          set_words(*space, page, entry.privilege, words_of(entry, write_protect));
      }
    }
  }
  return *space;
}

void SoftTlb::enter(unsigned number, bool write_protect) {
  Space& entered = space(number);
  current_ = number;
  ++era_;
  if (entered.write_protect != write_protect) publish_all(write_protect);
}

uint32_t SoftTlb::slot_of(unsigned space, uint64_t page, Privilege privilege) const {
  const auto p = static_cast<unsigned>(privilege);
  if (page < TlbTables::kPages) {
    const uint32_t own = spaces_[space]->slots[p][page];
    return own != 0 ? own : global_slots_[p][page];
  }
  const auto found = high_slots_.find(page << 1 | p);
  return found != high_slots_.end() ? found->second : 0;
}

SoftTlb::Entry& SoftTlb::add(Gla address, Privilege privilege, const Translation& translation,
                             const GuestMemory::Page& backing) {
  const uint64_t page = address.value / kPageSize;
  if (const uint32_t old = slot_of(current_, page, privilege)) drop(old);
  if (translation.global && page < TlbTables::kPages) {
    // It comes before what the others will find.
    for (const std::unique_ptr<Space>& space : spaces_) {
      if (!space) continue;
      if (const uint32_t own = space->slots[static_cast<unsigned>(privilege)][page]) drop(own);
    }
  }
  CHECK(!full());
  if (free_slots_.empty()) {
    pool_.emplace_back();
    free_slots_.push_back(static_cast<uint32_t>(pool_.size()));
  }
  const uint32_t slot = free_slots_.back();
  free_slots_.pop_back();

  uint32_t& head = frame_heads_[frame_bucket(translation.page)];
  Entry& entry = pool_[slot - 1];
  entry = {.linear_page = address.page().value,
           .translation = translation,
           .read = backing.read,
           .write = backing.write,
           .code_mark = backing.code_mark,
           .privilege = privilege,
           .space = translation.global ? kGlobal : static_cast<uint8_t>(current_),
           .era = era_,
           .next_of_frame = head,
           .previous_of_frame = 0,
           .list_position = 0};
  std::vector<uint32_t>& list = list_of(entry);
  entry.list_position = static_cast<uint32_t>(list.size());
  if (head != 0) pool_[head - 1].previous_of_frame = slot;
  head = slot;
  list.push_back(slot);
  set_slot(entry, slot);
  if (translation.page_size > kPageSize) ++pieces_counter(entry);
  return entry;
}

void SoftTlb::set_slot(const Entry& entry, uint32_t slot) {
  const uint64_t page = entry.linear_page / kPageSize;
  const auto privilege = static_cast<unsigned>(entry.privilege);
  if (page >= TlbTables::kPages) {
    if (slot != 0) {
      high_slots_[page << 1 | privilege] = slot;
    } else {
      high_slots_.erase(page << 1 | privilege);
    }
  } else if (entry.space == kGlobal) {
    global_slots_[privilege][page] = slot;
  } else {
    Space& space = *spaces_[entry.space];
    space.slots[privilege][page] = slot;
    space.in_region[page / kRegionPages] += slot != 0 ? 1u : ~0u;
  }
}

template <class F>
void SoftTlb::for_each_space_with(const Entry& entry, F f) {
  if (entry.space != kGlobal) {
    f(*spaces_[entry.space]);
    return;
  }
  const uint64_t page = entry.linear_page / kPageSize;
  for (const std::unique_ptr<Space>& space : spaces_) {
    // Where a space has a translation of its own, the words are that one's.
    if (space && space->slots[static_cast<unsigned>(entry.privilege)][page] == 0) f(*space);
  }
}

void SoftTlb::clear_words(Space& space, uint64_t page, Privilege privilege) {
  const auto p = static_cast<unsigned>(privilege);
  TlbTables& tables = space.tables[p];
  if (tables.read_delta[page] == 0) return;
  tables.read_delta[page] = 0;
  tables.write_delta[page] = 0;
  if (tables.exec_frame[page] != 0) space.exec_generation[p] = next_generation();
  tables.exec_frame[page] = 0;
  space.mirrors[p].restrict(page, 0);
}

void SoftTlb::drop(uint32_t slot) {
  const Entry& entry = pool_[slot - 1];
  if (const uint64_t page = entry.linear_page / kPageSize; page < TlbTables::kPages) {
    for_each_space_with(entry, [&](Space& space) { clear_words(space, page, entry.privilege); });
  }
  set_slot(entry, 0);
  if (entry.translation.page_size > kPageSize) --pieces_counter(entry);

  const uint32_t next = entry.next_of_frame, previous = entry.previous_of_frame;
  (previous != 0 ? pool_[previous - 1].next_of_frame : frame_heads_[frame_bucket(entry.translation.page)]) =
      next;
  if (next != 0) pool_[next - 1].previous_of_frame = previous;

  std::vector<uint32_t>& list = list_of(entry);
  const uint32_t last = list.back();
  pool_[last - 1].list_position = entry.list_position;
  list[entry.list_position] = last;
  list.pop_back();
  free_slots_.push_back(slot);
}

SoftTlb::Words SoftTlb::words_of(const Entry& entry, bool write_protect) {
  const auto permits = [&](Access access) {
    return entry.translation.permits(access, entry.privilege, write_protect);
  };
  const uint64_t delta = entry.read != nullptr && permits(Access::kRead)
                             ? reinterpret_cast<uint64_t>(entry.read) - entry.linear_page
                             : 0;
  // Shadowed ROM may be read in one place and written in another.
  const bool writable = entry.write == entry.read && entry.code_mark != nullptr &&
                        !GuestMemory::must_tell(*entry.code_mark) && entry.translation.dirty &&
                        permits(Access::kWrite);
  const uint64_t frame = entry.translation.page.value / kPageSize + 1;
  const bool executable = delta != 0 && permits(Access::kExecute) && frame <= UINT32_MAX;
  return {delta, writable ? delta : 0, executable ? static_cast<uint32_t>(frame) : 0};
}

void SoftTlb::set_words(Space& space, uint64_t page, Privilege privilege, const Words& words) {
  const auto p = static_cast<unsigned>(privilege);
  TlbTables& tables = space.tables[p];
  tables.read_delta[page] = words.read_delta;
  tables.write_delta[page] = words.write_delta;
  const unsigned readable = words.read_delta != 0 ? TlbMirror::kRead : 0;
  const unsigned writable = words.write_delta != 0 ? TlbMirror::kWrite : 0;
  space.mirrors[p].restrict(page, static_cast<uint8_t>(readable | writable));
  const uint32_t before = tables.exec_frame[page];
  tables.exec_frame[page] = words.exec_frame;
  if (before != 0 && before != words.exec_frame) space.exec_generation[p] = next_generation();
}

void SoftTlb::publish(const Entry& entry, bool write_protect) {
  const uint64_t page = entry.linear_page / kPageSize;
  if (page >= TlbTables::kPages) return;
  const Words words = words_of(entry, write_protect);
  set_words(*spaces_[current_], page, entry.privilege, words);
  if (entry.space == kGlobal && spaces_[kGlobalSpace])
    set_words(*spaces_[kGlobalSpace], page, entry.privilege, words);
}

void SoftTlb::publish_all(bool write_protect) {
  Space& space = *spaces_[current_];
  space.write_protect = write_protect;
  for (const uint32_t slot : space.list) publish(pool_[slot - 1], write_protect);
  for (const uint32_t slot : global_list_) {
    const Entry& entry = pool_[slot - 1];
    const uint64_t page = entry.linear_page / kPageSize;
    if (page >= TlbTables::kPages) continue;
    const auto p = static_cast<unsigned>(entry.privilege);
    const Words words = words_of(entry, write_protect);
    if (space.slots[p][page] == 0 && space.tables[p].read_delta[page] != 0)
      set_words(space, page, entry.privilege, words);
    if (spaces_[kGlobalSpace]) set_words(*spaces_[kGlobalSpace], page, entry.privilege, words);
  }
}

void SoftTlb::withhold_writes(Gpa page) {
  for (uint32_t slot = frame_heads_[frame_bucket(page)]; slot != 0; slot = pool_[slot - 1].next_of_frame) {
    const Entry& entry = pool_[slot - 1];
    const uint64_t linear = entry.linear_page / kPageSize;
    if (entry.translation.page != page || linear >= TlbTables::kPages) continue;
    const auto p = static_cast<unsigned>(entry.privilege);
    for_each_space_with(entry, [&](Space& space) {
      space.tables[p].write_delta[linear] = 0;
      space.mirrors[p].restrict(linear, TlbMirror::kRead);
    });
  }
}

void SoftTlb::drop_page(Gla address) {
  const uint64_t page = address.value / kPageSize;
  for (Privilege privilege : {Privilege::kSupervisor, Privilege::kUser}) {
    // The space's own, and then a global one behind it.
    while (const uint32_t slot = slot_of(current_, page, privilege)) drop(slot);
  }
  const auto drop_if_same_page = [&](uint32_t slot) {
    const Entry& entry = pool_[slot - 1];
    if (((entry.linear_page ^ address.value) & ~(entry.translation.page_size - 1)) == 0) drop(slot);
  };
  if (page < TlbTables::kPages && region_pieces_[page / kRegionPages] != 0) {
    const uint64_t first = page & ~(kRegionPages - 1);
    for (Slots* both : {&spaces_[current_]->slots, &global_slots_}) {
      for (SparseArray<uint32_t>& slots : *both) {
        for (uint64_t p = first; p < first + kRegionPages; ++p) {
          if (slots[p] != 0) drop_if_same_page(slots[p]);
        }
      }
    }
  }
  if (wide_pieces_ != 0) {
    for (std::vector<uint32_t>* list : {&spaces_[current_]->list, &global_list_}) {
      // Backwards, because the last takes the place of one that goes.
      for (size_t i = list->size(); i-- > 0;) drop_if_same_page((*list)[i]);
    }
  }
}

size_t SoftTlb::drop_range(unsigned number, uint64_t first_page, uint64_t count, bool survivors_only) {
  Space& space = *spaces_[number];
  size_t dropped = 0;
  for (uint64_t page = first_page; page < first_page + count; ++page) {
    if (space.in_region[page / kRegionPages] == 0) {
      page |= kRegionPages - 1;
      continue;
    }
    for (SparseArray<uint32_t>& slots : space.slots) {
      const uint32_t slot = slots[page];
      if (slot == 0 || (survivors_only && pool_[slot - 1].era == era_)) continue;
      drop(slot);
      ++dropped;
    }
  }
  return dropped;
}

bool SoftTlb::has_any(unsigned number, uint64_t first_page, uint64_t count) const {
  const Space& space = *spaces_[number];
  for (uint64_t page = first_page; page < first_page + count; ++page) {
    if (space.in_region[page / kRegionPages] == 0) {
      page |= kRegionPages - 1;
    } else if (space.slots[0][page] != 0 || space.slots[1][page] != 0) {
      return true;
    }
  }
  return false;
}

void SoftTlb::drop_space(unsigned number) {
  if (!spaces_[number]) return;
  std::vector<uint32_t>& list = spaces_[number]->list;
  while (!list.empty()) drop(list.back());
}

void SoftTlb::flush() {
  for (unsigned i = 0; i < spaces_.size(); ++i) drop_space(i);
  while (!global_list_.empty()) drop(global_list_.back());
}

}  // namespace vireo
