#include "softmmu/address_spaces.h"

#include <algorithm>

namespace vireo {

namespace {

/// More stale ranges than this, and everything is.
constexpr size_t kMostStale = 256;
/// So many writes to the tables of an address space that is not loaded say that it is gone.
constexpr uint64_t kMostWritesUnloaded = 64;
constexpr uint32_t kLoadsBetweenJudgements = 16;
constexpr unsigned kMostBackoff = 10;
constexpr unsigned kMostBackoffOfGone = 6;

}  // namespace

AddressSpaces::AddressSpaces(const CpuState& cpu, GuestMemory& memory, SoftTlb& tlb)
    : cpu_(cpu), memory_(memory), tlb_(tlb), watch_(memory) {
  enter();
}

bool AddressSpaces::may_keep() const {
  const PagingMode mode = paging_mode(cpu_);
  return mode == PagingMode::k32Bit || mode == PagingMode::kPae;
}

void AddressSpaces::load() {
  leave_current();
  enter();
}

void AddressSpaces::leave_current() {
  const unsigned number = tlb_.current();
  Space& s = spaces_[number];
  if (!s.kept || s.all_stale) {
    // Not more than there are to keep, and of a large page, which one walk finds, there are several pieces.
    if (!s.kept) s.walks += std::min<uint64_t>(s.walks_since_load, tlb_.size_of(number));
    tlb_.drop_space(number);
  } else {
    for (const Range& range : s.stale) tlb_.drop_range(number, range.page, range.count);
    ++kept_loads_;
    kept_entries_ += tlb_.size_of(number);
  }
  s.stale.clear();
  s.all_stale = false;
  s.writes_since_load = 0;
  s.walks_since_load = 0;
}

void AddressSpaces::enter() {
  const unsigned number = find_or_choose();
  Space& s = spaces_[number];
  s.loaded_at = ++loads_;
  // The processor reads these four at the load, and never again.
  if (s.pdpte != cpu_.pdpte) {
    tlb_.drop_space(number);
    s.pdpte = cpu_.pdpte;
  }
  judge(number);
  tlb_.enter(number, (cpu_.cr0 & cr0::kWp) != 0);
}

unsigned AddressSpaces::find_or_choose() {
  unsigned oldest = 0;
  for (unsigned i = 0; i < spaces_.size(); ++i) {
    if (spaces_[i].cr3 == cpu_.cr3) return i;
    if (spaces_[i].loaded_at < spaces_[oldest].loaded_at) oldest = i;
  }
  evicted_ += spaces_[oldest].cr3 != kNoCr3;
  forget(oldest);
  spaces_[oldest].cr3 = cpu_.cr3;
  spaces_[oldest].serial = ++last_serial_;
  return oldest;
}

void AddressSpaces::judge(unsigned number) {
  Space& s = spaces_[number];
  ++s.loads;
  if (!s.kept) {
    if (s.loads < (loads_before_keeping_ << s.backoff) || !may_keep()) return;
    s.walks_per_load = s.walks / s.loads;
    s.kept = true;
  } else {
    if (s.loads < kLoadsBetweenJudgements || !judged_) return;
    if (s.writes > s.loads * s.walks_per_load) {
      stop_watching(number);
      tlb_.drop_space(number);
      s.kept = false;
      s.backoff = std::min(s.backoff + 1, kMostBackoff);
      ++given_up_;
    }
  }
  s.loads = 0;
  s.walks = 0;
  s.writes = 0;
}

void AddressSpaces::stop_watching(unsigned number) {
  watch_.drop_space(number);
  spaces_[number].level1.fill(0);
  spaces_[number].level2.fill(0);
}

void AddressSpaces::forget(unsigned number) {
  if (spaces_[number].kept) stop_watching(number);
  tlb_.drop_space(number);
  spaces_[number] = {};
}

void AddressSpaces::gone(unsigned number) {
  // Pages of page tables are used again and again, and so is this CR3: for another address space, as
  // short-lived.
  Space& s = spaces_[number];
  const uint64_t cr3 = s.cr3, loaded_at = s.loaded_at;
  const unsigned backoff = std::max(s.backoff, std::min(s.backoff + 1, kMostBackoffOfGone));
  forget(number);
  s.cr3 = cr3;
  s.serial = ++last_serial_;
  s.loaded_at = loaded_at;
  s.backoff = backoff;
  ++gone_;
}

void AddressSpaces::flush() {
  tlb_.flush();
  for (unsigned i = 0; i < spaces_.size(); ++i) {
    Space& s = spaces_[i];
    if (s.kept) stop_watching(i);
    s.stale.clear();
    s.all_stale = false;
    s.kept = s.kept && may_keep();
  }
  enter();
}

void AddressSpaces::drop_others() {
  for (unsigned i = 0; i < spaces_.size(); ++i) {
    if (i != tlb_.current()) tlb_.drop_space(i);
  }
}

void AddressSpaces::invalidated(Gla page) {
  // The usual order is write, INVLPG.
  std::vector<Range>& stale = spaces_[tlb_.current()].stale;
  if (!stale.empty() && stale.back().count == 1 && stale.back().page == page.value / kPageSize)
    stale.pop_back();
}

bool AddressSpaces::note_walk(const PageWalk& walk, Gla address) {
  const unsigned number = tlb_.current();
  Space& s = spaces_[number];
  if (walk.translation().global) return false;
  ++s.walks_since_load;
  if (!s.kept || s.all_stale) return false;
  bool marked = false;
  const unsigned bits = table_shape(paging_mode(cpu_)).index_bits;
  for (const PageWalk::Step& step : walk.steps()) {
    const auto index = static_cast<uint16_t>(address.value >> (12 + bits * step.level));
    uint32_t& watched = step.level == 1 ? s.level1[index] : s.level2[index];
    const auto page = static_cast<uint32_t>(step.entry.value / kPageSize) + 1;
    if (watched == page) continue;
    marked = true;
    // Where the walk reads with A20 masked, the page is another one; such guests need no speed.
    if (memory_.a20() && watch_.add(step.entry.page(), {static_cast<uint8_t>(number),
                                                        static_cast<uint8_t>(step.level), index})) {
      watched = page;
      continue;
    }
    stop_watching(number);
    s.all_stale = true;
    break;
  }
  return marked;
}

void AddressSpaces::written(Gpa start, uint64_t size) {
  if (watch_.uses(start).empty()) return;
  const std::vector<TableWatch::Use> uses = watch_.uses(start);
  ++writes_;
  const TableShape shape = table_shape(paging_mode(cpu_));
  const unsigned bits = shape.index_bits;
  const uint64_t first = start.page_offset() / shape.entry_size;
  const uint64_t last = (start.page_offset() + size - 1) / shape.entry_size;
  for (const TableWatch::Use& use : uses) {
    const unsigned shift = bits * (use.level - 1u);
    note_write(use.space,
               {static_cast<uint32_t>((uint64_t{use.index} << (bits * use.level)) + (first << shift)),
                static_cast<uint32_t>((last - first + 1) << shift)});
  }
}

void AddressSpaces::note_write(unsigned number, Range range) {
  Space& s = spaces_[number];
  ++s.writes;
  ++s.writes_since_load;
  if (number != tlb_.current()) {
    tlb_.drop_range(number, range.page, range.count);
    if (s.writes_since_load > kMostWritesUnloaded && judged_) gone(number);
    return;
  }
  // What has been found since the load stays, as it would have without keeping. Of the rest nobody knows if
  // it has been used since; gone is what most guests expect of it. Who relies on its host address must know.
  if (tlb_.drop_range(number, range.page, range.count, true) != 0) tlb_.renew_generation();
  // Mostly a page that was not present becomes it, and there is nothing that could stay.
  if (!s.all_stale && tlb_.has_any(number, range.page, range.count)) {
    s.stale.push_back(range);
    if (s.stale.size() <= kMostStale) return;
    s.stale.clear();
    s.all_stale = true;
    stop_watching(number);
  }
}

void AddressSpaces::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  visit("address spaces/loads", loads_);
  visit("address spaces/loads of kept ones", kept_loads_);
  visit("address spaces/translations kept", kept_entries_);
  visit("address spaces/writes to watched tables", writes_);
  visit("address spaces/watched tables", watch_.pages());
  visit("address spaces/given up", given_up_);
  visit("address spaces/gone", gone_);
  visit("address spaces/evicted", evicted_);
}

}  // namespace vireo
