#include "translator/window.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace vireo::translator {

Result<std::unique_ptr<Window>> Window::create(GuestMemory& memory, const TlbTables& tables,
                                               TlbMirror& mirror) {
  void* base =
      mmap(nullptr, kBytes + kGuardBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return Error{fmt::format("no 4 GiB of addresses for a window: {}", std::strerror(errno)),
                 ExitStatus::kHostCannot};
  }
  return std::unique_ptr<Window>(new Window(memory, tables, mirror, static_cast<uint8_t*>(base)));
}

Window::~Window() {
  munmap(base_, kBytes + kGuardBytes);
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
  ++mappings_;
  ++counters_.maps;
  counters_.pages += end - first;
  for (uint64_t p = first; p < end; ++p) {
    if (mirror_.pages[p] == 0) mapped_.push_back(static_cast<uint32_t>(p));
    mirror_.pages[p] = wanted;
  }
  return true;
}

void Window::unmap(uint64_t first, uint64_t pages) {
  void* place = base_ + first * kPageSize;
  if (mmap(place, pages * kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
           0) == MAP_FAILED) {
    // Splitting a mapping may need one more than the host has left; taking all of it away needs none.
    munmap(base_, kBytes);
    mmap(base_, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  }
  ++counters_.unmaps;
}

void Window::unmap_lost() {
  std::vector<uint32_t>& lost = mirror_.lost;
  if (lost.size() > kManyLost) {
    clear();
    return;
  }
  std::sort(lost.begin(), lost.end());
  for (size_t i = 0; i < lost.size();) {
    size_t end = i + 1;
    while (end < lost.size() && lost[end] <= lost[end - 1] + 1) ++end;
    unmap(lost[i], lost[end - 1] - lost[i] + 1);
    i = end;
  }
  lost.clear();
  ++mappings_;  // one that is cut in two
}

void Window::clear() {
  mirror_.lost.clear();
  for (uint32_t page : mapped_) mirror_.pages[page] = 0;
  mapped_.clear();
  if (mappings_ != 0) unmap(0, TlbTables::kPages);
  mappings_ = 0;
  ++counters_.clears;
}

}  // namespace vireo::translator
