// A window: 4 GiB of host addresses at which guest RAM appears as one privilege of the current address space
// sees it, so that translated code reaches it with a gs: prefix and no probe. It never shows more than the
// TlbTables permit: a page is mapped when an access has faulted and Mmu::fill() allows it, and goes when its
// words in the tables do. architecture.md, "Memory through a shadow window".
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
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
  bool contains(uint64_t host) const { return host - base() < kBytes; }

  /// Makes the page of a linear address accessible as the TlbTables say, and its neighbours with it that are
  /// neighbours in RAM, too. False if the tables do not permit a direct access, or if it is not RAM.
  bool map(uint64_t linear, bool write);
  /// Takes out of the window what the mirror has lost. To be called before translated code runs on.
  void settle() {
    if (!mirror_.lost.empty()) unmap_lost();
  }
  void clear();
  /// Of the host, at most.
  uint64_t mappings() const { return mappings_; }

  struct Counters {
    uint64_t maps = 0, pages = 0, unmaps = 0, clears = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  static constexpr uint64_t kBytes = uint64_t{1} << 32;
  /// An operand at FFFFFFFFh goes on behind the window.
  static constexpr uint64_t kGuardBytes = kPageSize;
  /// More pages than this are unmapped by clearing everything.
  static constexpr size_t kManyLost = 64;
  static constexpr uint64_t kAround = 16;  ///< pages mapped at most with one that is needed, on each side

  Window(GuestMemory& memory, const TlbTables& tables, TlbMirror& mirror, uint8_t* base)
      : memory_(memory), tables_(tables), mirror_(mirror), base_(base) {}
  void unmap_lost();
  void unmap(uint64_t first, uint64_t pages);

  GuestMemory& memory_;
  const TlbTables& tables_;
  TlbMirror& mirror_;
  uint8_t* base_;
  std::vector<uint32_t> mapped_;  ///< pages that have been mapped since the last clear(), some of them gone
  uint64_t mappings_ = 0;         ///< at most so many of the host's
  Counters counters_;
};

}  // namespace vireo::translator
