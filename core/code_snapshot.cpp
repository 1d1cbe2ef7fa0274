#include "core/code_snapshot.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

namespace vireo {

namespace {

/// From the first byte that differs to behind the last one.
std::optional<std::pair<uint64_t, uint64_t>> difference(const uint8_t* before, const uint8_t* now) {
  if (std::memcmp(before, now, kPageSize) == 0) return std::nullopt;
  uint64_t first = 0, end = kPageSize;
  while (before[first] == now[first]) ++first;
  while (before[end - 1] == now[end - 1]) --end;
  return std::pair{first, end};
}

}  // namespace

void CodeSnapshot::take() {
  if (!memory_.a20()) return;
  for (auto& [start, page] : pages_) page.code = false;
  for (const GuestMemory::CodePage& marked : memory_.code_pages()) {
    Page& page = pages_[marked.start.value];
    page.code = true;
    page.host = marked.host;
    if (std::exchange(page.valid, true)) continue;
    if (!page.bytes) page.bytes = std::make_unique_for_overwrite<uint8_t[]>(kPageSize);
    std::memcpy(page.bytes.get(), page.host, kPageSize);
  }
  std::erase_if(pages_, [](const auto& entry) { return !entry.second.code; });
}

void CodeSnapshot::tell_of_changes() {
  struct Change {
    uint64_t start, size;
  };
  std::vector<Change> changes;  // listeners may have pages_ change
  for (auto& [start, page] : pages_) {
    if (!page.valid) {
      changes.push_back({start, kPageSize});  // a device has written there, too, and that has been told
    } else if (const auto found = difference(page.bytes.get(), page.host)) {
      changes.push_back({start + found->first, found->second - found->first});
      page.valid = false;  // its mark may have gone when its turn comes, and nobody is told then
    }
  }
  for (const Change& c : changes) memory_.code_written({c.start}, c.size, Writer::kOther);
}

void CodeSnapshot::invalidate(Gpa address) {
  if (const auto found = pages_.find(address.value & ~kPageMask); found != pages_.end())
    found->second.valid = false;
}

}  // namespace vireo
