#include "hwassist/kvm_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"

namespace vireo::hwassist {

void KvmMemory::Free::operator()(uint8_t* memory) const {
  munmap(memory, bytes);
}

KvmMemory::KvmMemory(KvmVm& vm, GuestMemory& memory) : vm_(vm), memory_(memory) {
  memory_.add_listener(*this);
}

KvmMemory::~KvmMemory() {
  memory_.remove_listener(*this);
}

uint32_t KvmMemory::free_number() const {
  for (uint32_t number = 0;; ++number) {
    const bool used =
        std::any_of(slots_.begin(), slots_.end(), [&](const auto& s) { return s.second.number == number; });
    if (!used) return number;
  }
}

Result<void> KvmMemory::add(const GuestMemory::DirectRange& range) {
  Slot slot{free_number(), range};
  const uint8_t* host = range.host;
  if (reinterpret_cast<uintptr_t>(host) % kPageSize != 0) {
    CHECK(!range.writable);
    void* copy = mmap(nullptr, range.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED) {
      return Error{fmt::format("no memory for a copy of a ROM: {}", std::strerror(errno)),
                   ExitStatus::kHostCannot};
    }
    slot.copy = {static_cast<uint8_t*>(copy), Free{range.size}};
    std::memcpy(copy, host, range.size);
    host = slot.copy.get();
  }
  if (auto set = vm_.set_slot(slot.number, range.start, range.size, host, range.writable); !set) return set;
  slots_.emplace(range.start.value, std::move(slot));
  return {};
}

Result<void> KvmMemory::update() {
  if (!stale_) return {};
  if (auto done = update_slots(); !done) return done;
  if (auto done = update_waiting(); !done) return done;
  stale_ = false;
  return {};
}

Result<void> KvmMemory::update_waiting() {
  const std::vector<GuestMemory::MmioRange> wanted = memory_.patient_ranges();
  const auto has = [](const auto& ranges, const GuestMemory::MmioRange& r) {
    return std::find(ranges.begin(), ranges.end(), r) != ranges.end();
  };
  while (!waiting_.empty()) {
    const auto gone =
        std::find_if_not(waiting_.begin(), waiting_.end(), [&](const auto& r) { return has(wanted, r); });
    if (gone == waiting_.end()) break;
    if (auto done = vm_.set_waiting(gone->start, gone->size, false); !done) return done;
    waiting_.erase(gone);
  }
  for (const GuestMemory::MmioRange& range : wanted) {
    if (has(waiting_, range)) continue;
    if (auto done = vm_.set_waiting(range.start, range.size, true); !done) return done;
    waiting_.push_back(range);
  }
  return {};
}

Result<void> KvmMemory::update_slots() {
  const std::vector<GuestMemory::DirectRange> wanted = memory_.direct_ranges();
  // A slot must be gone before another one can be where it was.
  for (auto at = slots_.begin(); at != slots_.end();) {
    if (std::find(wanted.begin(), wanted.end(), at->second.range) != wanted.end()) {
      ++at;
      continue;
    }
    if (auto removed = remove(at->second); !removed) return removed;
    at = slots_.erase(at);
  }
  for (const GuestMemory::DirectRange& range : wanted) {
    if (slots_.count(range.start.value) != 0) continue;
    if (auto added = add(range); !added) return added;
  }
  return {};
}

/// It does so for all of them when any slot goes.
Result<void> KvmMemory::forget_tables() {
  constexpr Gpa kNothingThere{0xfeffb000};
  alignas(kPageSize) static const uint8_t page[kPageSize] = {};
  const uint32_t number = free_number();
  if (auto added = vm_.set_slot(number, kNothingThere, kPageSize, page, false); !added) return added;
  return vm_.set_slot(number, kNothingThere, 0, nullptr, false);
}

}  // namespace vireo::hwassist
