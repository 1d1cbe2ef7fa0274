// The MMU contract: guest-linear to host addresses through a software TLB with x86's TLB semantics. One per
// machine, shared by its engines, so that they all see the same cached translations. softmmu/ implements the
// slow path. Source: Intel SDM 3A chapter 4.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string_view>

#include "core/guest_memory.h"
#include "core/types.h"

namespace vireo {

enum class Access : uint8_t { kRead, kWrite, kExecute };

/// Whose rights an access uses: CPL 3 is user, CPL 0 to 2 and implicit system accesses are supervisor.
enum class Privilege : uint8_t { kSupervisor, kUser };

/// #PF error code bits (SDM 3A 4.7).
namespace pf {
inline constexpr uint32_t kPresent = 1;
inline constexpr uint32_t kWrite = 2;
inline constexpr uint32_t kUser = 4;
inline constexpr uint32_t kReserved = 8;
inline constexpr uint32_t kFetch = 16;
}  // namespace pf

struct PageFault {
  Gla address;
  uint32_t error_code = 0;
};

/// One direct-mapped TLB entry. A *_page field equals the linear page when that access may go straight to
/// `host`, else kNoPage (which no linear page equals). One host cache line each, so that indexing is a shift.
struct alignas(64) TlbEntry {
  static constexpr uint64_t kNoPage = ~uint64_t{0};
  uint64_t read_page = kNoPage;
  uint64_t write_page = kNoPage;  ///< only when dirty is set, the page is RAM and holds no marked code
  uint64_t exec_page = kNoPage;
  uint8_t* host = nullptr;  ///< host address of the page's first byte
  uint64_t physical_page =
      0;  ///< Gpa of the page, A20 applied; valid whenever any field above or `slow_page` matches
  uint64_t slow_page =
      kNoPage;          ///< translation is valid but some access needs the slow path (MMIO, code mark, clean)
  uint32_t rights = 0;  ///< softmmu's own
  bool global = false;
};

class Mmu {
 public:
  static constexpr unsigned kTlbBits = 10;
  static constexpr unsigned kTlbEntries = 1u << kTlbBits;

  virtual ~Mmu() = default;

  /// Makes the TLB hold a translation good for `access`, walking the page tables (and setting A and D bits)
  /// when needed; says what fault there is if it cannot. Afterwards entry() is the translation of that page.
  virtual std::optional<PageFault> fill(Gla address, Access access, Privilege privilege) = 0;

  /// Reads or writes 1 to 16 bytes inside one page whose translation fill() has just accepted: MMIO, ROM,
  /// code marks and all.
  virtual void read_slow(Gla address, Privilege privilege, void* out, unsigned size) = 0;
  virtual void write_slow(Gla address, Privilege privilege, const void* bytes, unsigned size) = 0;

  /// Translates without side effects (no A/D bits, no TLB change); for debuggers and traces.
  virtual std::optional<Gpa> probe(Gla address) const = 0;

  /// INVLPG.
  virtual void invalidate_page(Gla address) = 0;
  /// MOV CR3 and the like: everything (`global_too`) or all but global pages.
  virtual void flush(bool global_too) = 0;
  /// Call after CR0.PG/WP, CR3, CR4.PSE/PAE/PGE/..., or EFER.NXE changed: picks the paging mode, and flushes
  /// as the SDM says for that change.
  virtual void control_registers_changed() = 0;

  /// Counters for --stats.
  virtual void visit_stats(const std::function<void(std::string_view name, uint64_t value)>& visit) const {
    static_cast<void>(visit);
  }

  TlbEntry& entry(Gla address, Privilege privilege) {
    return tlb_[static_cast<unsigned>(privilege)][(address.value / kPageSize) % kTlbEntries];
  }

  /// The host address for an access of `size` bytes, or null when it must go the slow way.
  uint8_t* fast_read(Gla address, unsigned size, Privilege privilege) {
    const TlbEntry& e = entry(address, privilege);
    const uint64_t offset = address.value & kPageMask;
    return e.read_page == (address.value & ~kPageMask) && offset + size <= kPageSize ? e.host + offset
                                                                                     : nullptr;
  }
  uint8_t* fast_write(Gla address, unsigned size, Privilege privilege) {
    const TlbEntry& e = entry(address, privilege);
    const uint64_t offset = address.value & kPageMask;
    return e.write_page == (address.value & ~kPageMask) && offset + size <= kPageSize ? e.host + offset
                                                                                      : nullptr;
  }

 protected:
  std::array<std::array<TlbEntry, kTlbEntries>, 2> tlb_{};
};

}  // namespace vireo
