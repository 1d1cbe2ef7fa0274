// A window: 4 GiB of host addresses at which guest RAM appears as one privilege of the current address space
// sees it, so that translated code reaches it with one more base register and no probe. It never shows more
// than the TlbTables permit: a page is mapped when an access has faulted and Mmu::fill() allows it, and goes
// when its words in the tables do. architecture.md, "Memory through a shadow window".
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/guest_memory.h"
#include "core/mmu.h"
#include "core/result.h"

namespace vireo::translator {

class Window {
 public:
  /// Reserves the addresses. Fails if the host has not got them.
  static Result<std::unique_ptr<Window>> create(GuestMemory& memory, const TlbTables& tables,
                                                TlbMirror& mirror);
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  uint64_t base() const { return reinterpret_cast<uint64_t>(base_); }
  /// So far an address may be from the window without being anything else's: the sum of a register, scaled by
  /// 8, and a displacement, which ought to be truncated to 32 bits; and what an operand at FFFFFFFFh goes on
  /// into.
  static constexpr uint64_t kBelow = uint64_t{1} << 20, kBeyond = uint64_t{31} << 30;
  bool is_near(uint64_t host) const { return host - base() + kBelow < kBelow + kBytes + kBeyond; }
  bool contains(uint64_t host) const { return host - base() < kBytes; }

  /// Makes the page of a linear address accessible as the TlbTables say, and its neighbours with it that are
  /// neighbours in RAM, too. False if the tables do not permit a direct access, or if it is not RAM.
  bool map(uint64_t linear, bool write);
  /// Takes out of the window what the mirror has lost. To be called before translated code runs on.
  void settle() {
    if (!mirror_.lost.empty()) unmap_lost();
  }
  void clear();
  /// How often map() has added something since the latest clear().
  uint64_t fills() const { return fills_; }
  /// How many more of the host's mappings it takes than if it showed nothing.
  uint64_t mappings() const { return mappings_; }
  /// Of all windows together. The host has a limit for each process.
  static uint64_t mappings_of_process() { return mappings_of_process_.load(std::memory_order_relaxed); }

  struct Counters {
    uint64_t maps = 0, pages = 0, unmaps = 0, clears = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  static constexpr uint64_t kBytes = uint64_t{1} << 32;
  static constexpr uint64_t kReserved = kBelow + kBytes + kBeyond;
  /// More runs of pages than this are unmapped by clearing everything.
  static constexpr size_t kManyLost = 64;
  static constexpr uint64_t kAround = 16;  ///< pages mapped at most with one that is needed, on each side

  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  /// What is at each page: a page of RAM, counted from 1, shifted, and whether it is writable.
  using Shown = std::unique_ptr<uint32_t[], Free>;
  static constexpr uint32_t kGone = 1;  ///< nothing, but it is in mapped_; 0 is not
  static constexpr uint32_t kNextPage = 2;

  Window(GuestMemory& memory, const TlbTables& tables, TlbMirror& mirror, uint8_t* base, Shown shown)
      : memory_(memory), tables_(tables), mirror_(mirror), base_(base), shown_(std::move(shown)) {}
  void unmap_lost();
  /// False, and nothing has happened, if the host has no mapping left to cut one in two.
  bool unmap(uint64_t first, uint64_t end);
  /// Of the host's mappings: how many start at these pages or at `end`, with something or with nothing.
  int64_t starts(uint64_t first, uint64_t end) const;
  void count_mappings(int64_t more) {
    mappings_ += static_cast<uint64_t>(more);
    mappings_of_process_.fetch_add(static_cast<uint64_t>(more), std::memory_order_relaxed);
  }

  static std::atomic<uint64_t> mappings_of_process_;

  GuestMemory& memory_;
  const TlbTables& tables_;
  TlbMirror& mirror_;
  uint8_t* base_;
  Shown shown_;
  std::vector<uint32_t> mapped_;  ///< pages that have been mapped since the last clear(), some of them gone
  uint64_t mappings_ = 0;
  uint64_t fills_ = 0;
  Counters counters_;
};

}  // namespace vireo::translator
