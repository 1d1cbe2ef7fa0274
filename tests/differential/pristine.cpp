#include "tests/differential/pristine.h"

#include <cstring>

#include "tests/differential/arena.h"
#include "tests/differential/rng.h"

namespace vireo::diff {

std::vector<uint8_t> pristine_arena(uint64_t seed) {
  std::vector<uint8_t> bytes(kMemoryBytes);
  Rng rng(seed);
  for (uint8_t& byte : bytes) byte = rng.byte();
  std::memset(&bytes[kCodeBegin - kArena], kTrapByte, kCodeEnd - kCodeBegin);
  for (uint32_t page = 0; page < kPages; page++) {
    if (kPageRights[page] == Rights::kNone) std::memset(&bytes[page * kPage], 0, kPage);
  }
  return bytes;
}

void restore_data_pages(std::span<uint8_t> memory, std::span<const uint8_t> pristine) {
  for (uint32_t page = 0; page < kPages; page++) {
    if (kPageRights[page] == Rights::kReadExecute) continue;
    uint8_t* to = &memory[page * kPage];
    const uint8_t* from = &pristine[page * kPage];
    if (std::memcmp(to, from, kPage) != 0) std::memcpy(to, from, kPage);
  }
}

void patch_data(std::span<uint8_t> memory, uint32_t linear, std::span<const uint8_t> bytes) {
  for (size_t i = 0; i < bytes.size(); i++) {
    const uint32_t at = linear + static_cast<uint32_t>(i);
    const uint32_t page = page_of(at);
    if (page == kPages || kPageRights[page] == Rights::kNone || kPageRights[page] == Rights::kReadExecute)
      continue;
    memory[page * kPage + at % kPage] = bytes[i];
  }
}

}  // namespace vireo::diff
