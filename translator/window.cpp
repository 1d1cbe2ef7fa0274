#include "translator/window.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/check.h"

namespace vireo::translator {

std::atomic<uint64_t> Window::mappings_of_process_ = 0;

Result<std::unique_ptr<Window>> Window::create(GuestMemory& memory, const TlbTables& tables,
                                               TlbMirror& mirror) {
  void* reserved = mmap(nullptr, kReserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) {
    return Error{
        fmt::format("no {} GiB of addresses for a window: {}", kReserved >> 30, std::strerror(errno)),
        ExitStatus::kHostCannot};
  }
  // Most of it is never touched, so it takes no memory.
  Shown shown(static_cast<uint32_t*>(std::calloc(TlbTables::kPages, sizeof(uint32_t))));
  if (shown == nullptr) {
    munmap(reserved, kReserved);
    return Error{"no memory for a window", ExitStatus::kHostCannot};
  }
  uint8_t* const base = static_cast<uint8_t*>(reserved) + kBelow;
  return std::unique_ptr<Window>(new Window(memory, tables, mirror, base, std::move(shown)));
}

Window::~Window() {
  clear();  // another window may come to use the mirror
  munmap(base_ - kBelow, kReserved);
}

// The host joins what is alike and adjoins, in the window as in the memfd.
int64_t Window::starts(uint64_t first, uint64_t end) const {
  int64_t count = 0;
  uint32_t before = first == 0 ? 0 : shown_[first - 1];
  for (uint64_t page = first; page <= end; ++page) {
    const uint32_t here = page == TlbTables::kPages ? 0 : shown_[page];
    if (before > kGone ? here != before + kNextPage : here > kGone) ++count;
    before = here;
  }
  return count;
}

bool Window::map(uint64_t linear, bool write) {
  settle();
  const uint64_t page = linear / kPageSize;
  const uint64_t delta = tables_.read_delta[page];
  if (delta == 0 || (write && tables_.write_delta[page] == 0)) return false;
  const std::span<uint8_t> ram = memory_.ram();
  const uint64_t offset = page * kPageSize + delta - reinterpret_cast<uint64_t>(ram.data());
  if (offset >= ram.size()) return false;
  const bool writable = tables_.write_delta[page] != 0;
  const uint8_t wanted = writable ? TlbMirror::kRead | TlbMirror::kWrite : TlbMirror::kRead;
  if (mirror_.pages[page] == wanted) return true;  // another access has been there, at a page's end

  const auto alike = [&](uint64_t p) {
    return p < TlbTables::kPages && tables_.read_delta[p] == delta &&
           (tables_.write_delta[p] != 0) == writable && mirror_.pages[p] != wanted &&
           p * kPageSize + delta - reinterpret_cast<uint64_t>(ram.data()) < ram.size();
  };
  uint64_t first = page, end = page + 1;
  while (first > 0 && page - first < kAround && alike(first - 1)) --first;
  while (end - page <= kAround && alike(end)) ++end;

  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* place = base_ + first * kPageSize;
  const auto file_offset = static_cast<off_t>(offset - (page - first) * kPageSize);
  if (mmap(place, (end - first) * kPageSize, protection, MAP_SHARED | MAP_FIXED | MAP_POPULATE,
           memory_.memfd(), file_offset) == MAP_FAILED) {
    return false;
  }
  ++fills_;
  ++counters_.maps;
  counters_.pages += end - first;
  const int64_t starts_before = starts(first, end);
  auto shown = static_cast<uint32_t>(file_offset / kPageSize + 1) * kNextPage + (writable ? 1 : 0);
  for (uint64_t p = first; p < end; ++p) {
    if (shown_[p] == 0) mapped_.push_back(static_cast<uint32_t>(p));
    shown_[p] = std::exchange(shown, shown + kNextPage);
    mirror_.pages[p] = wanted;
  }
  count_mappings(starts(first, end) - starts_before);
  return true;
}

bool Window::unmap(uint64_t first, uint64_t end) {
  void* place = base_ + first * kPageSize;
  if (mmap(place, (end - first) * kPageSize, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
    return false;
  }
  ++counters_.unmaps;
  const int64_t starts_before = starts(first, end);
  std::fill(&shown_[first], &shown_[end], kGone);
  count_mappings(starts(first, end) - starts_before);
  return true;
}

void Window::unmap_lost() {
  std::vector<uint32_t>& lost = mirror_.lost;
  std::sort(lost.begin(), lost.end());
  std::vector<std::pair<uint32_t, uint32_t>> runs;  // first page, end
  for (const uint32_t page : lost) {
    if (!runs.empty() && page <= runs.back().second) {
      runs.back().second = page + 1;
    } else {
      runs.emplace_back(page, page + 1);
    }
  }
  const auto unmap_run = [this](const auto& run) { return unmap(run.first, run.second); };
  if (runs.size() > kManyLost || !std::all_of(runs.begin(), runs.end(), unmap_run)) {
    clear();
    return;
  }
  lost.clear();
}

void Window::clear() {
  fills_ = 0;
  mirror_.lost.clear();
  uint64_t first = TlbTables::kPages, end = 0;
  for (const uint32_t page : mapped_) {
    mirror_.pages[page] = 0;
    if (std::exchange(shown_[page], 0) <= kGone) continue;
    first = std::min<uint64_t>(first, page);
    end = std::max<uint64_t>(end, page + 1);
  }
  mapped_.clear();
  ++counters_.clears;
  if (first >= end) return;
  // Where no mapping is cut, all of them can go even if the host has too many.
  void* const place = base_ + first * kPageSize;
  const size_t bytes = (end - first) * kPageSize;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (mmap(place, bytes, PROT_NONE, kFlags | MAP_FIXED, -1, 0) == MAP_FAILED) {
    CHECK(munmap(place, bytes) == 0);
    CHECK(mmap(place, bytes, PROT_NONE, kFlags | MAP_FIXED_NOREPLACE, -1, 0) == place);
  }
  ++counters_.unmaps;
  count_mappings(-static_cast<int64_t>(mappings_));
}

}  // namespace vireo::translator
