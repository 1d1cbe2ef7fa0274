// The MMU contract: guest-linear to host addresses through a software TLB with x86's TLB semantics. One per
// machine, shared by its engines, so that they all see the same cached translations. softmmu/ implements the
// slow path. Source: Intel SDM 3A chapter 4.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

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

/// What one privilege may do without the slow path, by linear page number of the low 4 GiB. 0 everywhere: the
/// slow way. Translated code reads these tables itself: their places are part of the contract.
struct TlbTables {
  static constexpr uint64_t kPages = uint64_t{1} << 20;

  /// Host address minus linear address of a page whose bytes may be read directly. Not 0 wherever one of the
  /// other two is not.
  std::array<uint64_t, kPages> read_delta;
  /// The same number if the page may also be written directly: it is RAM, dirty, and its code mark permits.
  std::array<uint64_t, kPages> write_delta;
  /// Physical page number plus 1, A20 applied, of a page whose instructions may be fetched.
  std::array<uint32_t, kPages> exec_frame;
};

/// Which pages of one privilege somebody shows directly, as far as the TlbTables permit. The MMU says what of
/// that they no longer permit.
struct TlbMirror {
  static constexpr uint8_t kRead = 1, kWrite = 2;
  std::span<uint8_t> pages;    ///< by linear page number of the low 4 GiB: what is shown
  std::vector<uint32_t> lost;  ///< pages whose byte has been cleared because less is permitted

  /// `permitted`: kRead, kWrite.
  void restrict(uint64_t page, uint8_t permitted) {
    if ((pages[page] & ~permitted) == 0) return;
    pages[page] = 0;
    lost.push_back(static_cast<uint32_t>(page));
  }
};

class Mmu {
 public:
  /// Of the tables in TlbTables, which is aligned to a host page.
  static constexpr size_t kReadDeltaOffset = 0;
  static constexpr size_t kWriteDeltaOffset = size_t{8} << 20;
  static constexpr size_t kExecFrameOffset = size_t{16} << 20;

  virtual ~Mmu() = default;

  /// Makes the TLB hold a translation good for `access`, walking the page tables (and setting A and D bits)
  /// when needed; says what fault there is if it cannot. Afterwards the tables say what of that page goes
  /// directly; that may be nothing. A walk that finds a large page may give its translation to the other
  /// pages of that around `address`, too, and without paging those around it may have theirs.
  virtual std::optional<PageFault> fill(Gla address, Access access, Privilege privilege) = 0;

  /// Whether fill() would find a translation; without its side effects, those of a fault included.
  virtual bool permits(Gla address, Access access, Privilege privilege) const = 0;

  /// Reads or writes 1 to 16 bytes inside one page whose translation fill() has just accepted: MMIO, ROM,
  /// code marks and all.
  virtual void read_slow(Gla address, Privilege privilege, void* out, unsigned size) = 0;
  virtual void write_slow(Gla address, Privilege privilege, const void* bytes, unsigned size) = 0;
  /// How many of these there have been to what has no direct access, now or again.
  uint64_t indirect_accesses() const { return indirect_accesses_; }

  /// Translates without side effects (no A/D bits, no TLB change); for debuggers and traces.
  virtual std::optional<Gpa> probe(Gla address) const = 0;

  /// INVLPG.
  virtual void invalidate_page(Gla address) = 0;
  /// MOV CR3 and the like: drops all that is not global, or what differs from the page tables. Afterwards
  /// another space may be the current one.
  virtual void cr3_loaded() = 0;
  /// Drops everything; another space may be the current one.
  virtual void flush() = 0;
  /// Call after CR0.PG/WP, CR3, CR4.PSE/PAE/PGE/..., or EFER.NXE changed: picks the paging mode, and flushes
  /// as the SDM says for that change.
  virtual void control_registers_changed() = 0;

  // --- spaces: the MMU has room for several address spaces, each with tables of its own; tables() are those
  // of the current one.
  static constexpr unsigned kSpaces = 16;
  virtual unsigned space() const = 0;
  /// Translations outlive loads of CR3 in an address space that has been loaded so often; 0: never. Without
  /// this call the MMU decides.
  virtual void keep_spaces_after(uint32_t loads) = 0;
  /// Of the address space that has the current space: no two ever have the same.
  virtual uint64_t space_serial() const = 0;
  /// Of the current space.
  virtual TlbMirror& mirror(Privilege privilege) = 0;

  // Translations that are global belong to all address spaces; they alone stand in these tables.
  virtual const TlbTables& global_tables(Privilege privilege) = 0;
  virtual TlbMirror& global_mirror(Privilege privilege) = 0;
  /// Whether fill() has found a translation of the page that is global.
  virtual bool is_global(Gla address, Privilege privilege) const = 0;

  /// Counters for --stats, as ExecutionEngine's.
  virtual void visit_stats(const std::function<void(std::string_view name, uint64_t value)>& visit) const {
    static_cast<void>(visit);
  }

  TlbTables& tables(Privilege privilege) { return *tables_[static_cast<unsigned>(privilege)]; }
  const TlbTables& tables(Privilege privilege) const { return *tables_[static_cast<unsigned>(privilege)]; }

  /// The host address for an access of `size` bytes, or null when it must go the slow way.
  uint8_t* fast_read(Gla address, unsigned size, Privilege privilege) const {
    return direct(tables(privilege).read_delta, address, size);
  }
  /// Good for reading, too.
  uint8_t* fast_write(Gla address, unsigned size, Privilege privilege) const {
    return direct(tables(privilege).write_delta, address, size);
  }

  /// TlbTables::exec_frame of the page of `address`; 0 from 4 GiB up.
  uint32_t exec_frame(Gla address, Privilege privilege) const {
    const uint64_t page = address.value / kPageSize;
    return page < TlbTables::kPages ? tables(privilege).exec_frame[page] : 0;
  }
  /// Grows whenever an exec_frame of that privilege that was not 0 goes away: what has been found executable
  /// under one number may be jumped to as long as the number stands.
  uint64_t exec_generation(Privilege privilege) const {
    return (*exec_generation_)[static_cast<unsigned>(privilege)];
  }

  /// The bytes at `address`, to the end of its page. Only where exec_frame() is not 0.
  const uint8_t* code_bytes(Gla address, Privilege privilege) const {
    return reinterpret_cast<const uint8_t*>(address.value +
                                            tables(privilege).read_delta[address.value / kPageSize]);
  }

 protected:
  /// The implementation owns the tables and sets these when it is made, and when the space changes.
  std::array<TlbTables*, 2> tables_{};
  const std::array<uint64_t, 2>* exec_generation_ = nullptr;
  uint64_t indirect_accesses_ = 0;

 private:
  static uint8_t* direct(const std::array<uint64_t, TlbTables::kPages>& deltas, Gla address, unsigned size) {
    // One comparison for both: the bits above 4 GiB make the sum too large, as an access across pages does.
    constexpr uint64_t kPageNumberBits = (TlbTables::kPages - 1) * kPageSize;
    if ((address.value & ~kPageNumberBits) + size > kPageSize) return nullptr;
    const uint64_t delta = deltas[address.value / kPageSize];
    if (delta == 0) return nullptr;
    auto* host = reinterpret_cast<uint8_t*>(address.value + delta);
    if (host == nullptr) __builtin_unreachable();  // so that callers need not look again
    return host;
  }
};

static_assert(offsetof(TlbTables, read_delta) == Mmu::kReadDeltaOffset);
static_assert(offsetof(TlbTables, write_delta) == Mmu::kWriteDeltaOffset);
static_assert(offsetof(TlbTables, exec_frame) == Mmu::kExecFrameOffset);

}  // namespace vireo
