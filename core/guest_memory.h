// Guest-physical address space: RAM (one memfd), ROM, shadowed ranges, MMIO, the A20 gate, and the marks that
// tell engines when code that they have decoded or translated is overwritten.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/access_replay.h"
#include "core/device.h"
#include "core/result.h"
#include "core/time_ledger.h"
#include "core/types.h"

namespace vireo {

/// Told about changes that make cached mappings or cached code stale. Engines and the MMU implement this.
class MemoryListener {
 public:
  virtual ~MemoryListener() = default;
  enum class Writer : uint8_t {
    kStore,  ///< an instruction
    kOther,  ///< a device, accessed and dirty bits, the host, stores under hardware assist (told of later)
  };
  /// Bytes [start, start + size) (one page, marked by mark_code) are about to be or have just been written.
  virtual void on_code_written(Gpa start, uint64_t size, Writer writer) = 0;
  /// Bytes of a page marked by mark_tables() have just been written.
  virtual void on_tables_written(Gpa start, uint64_t size) {
    static_cast<void>(start);
    static_cast<void>(size);
  }
  /// Where RAM and ROM lie changed (PAM, ROM BAR, A20) or RAM was rewritten past the marks
  /// (contents_replaced()): cached host pointers and everything made of code are stale.
  virtual void on_layout_changed() = 0;
  /// MMIO came or went (PCI BAR). To caches of host pointers and of code it is all one: its pages have
  /// neither, before or after, but for what shadow RAM over it has, whatever is below.
  virtual void on_mmio_changed() {}
  /// The RAM page (A20 applied) has just been marked, for code or tables: whoever caches write permission
  /// must now come the slow way.
  virtual void on_code_marked(Gpa page) { static_cast<void>(page); }
  /// Everything made of the code in this RAM page (A20 applied) has to go, and the mark with it.
  virtual void on_forget_code(Gpa page) { static_cast<void>(page); }
};

class GuestMemory;

/// Whoever keeps something made of code has one, with a mark of its own on the pages with that code. So many
/// as a mark has bits may live at a time (CHECK); no longer than the memory.
class CodeOwner {
 public:
  explicit CodeOwner(GuestMemory& memory);
  ~CodeOwner();
  CodeOwner(const CodeOwner&) = delete;
  CodeOwner& operator=(const CodeOwner&) = delete;

 private:
  friend class GuestMemory;

  GuestMemory& memory_;
  const uint8_t mark_;
};

class GuestMemory {
 public:
  /// What backs one physical page. `read`/`write` are host addresses of the page's first byte, null where the
  /// access must go through read_mmio/write_mmio or is ignored.
  struct Page {
    uint8_t* read = nullptr;
    uint8_t* write = nullptr;      ///< null: MMIO, ROM, or nothing there
    uint8_t* code_mark = nullptr;  ///< not null whenever `write` is not; non-zero byte: the page holds code,
                                   ///< tell via code_written(), or need not if !must_tell()
    IoRegion* mmio = nullptr;      ///< MMIO region (reads, and writes unless `write` is set)
    uint32_t mmio_offset = 0;      ///< of the page within the region
  };

  /// `ram_bytes` is a multiple of 1 MiB, at least 1 MiB. Fails if the host has no memory for it.
  static Result<std::unique_ptr<GuestMemory>> create(uint64_t ram_bytes);
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // --- RAM as the host sees it -------------------------------------------------------------------
  std::span<uint8_t> ram() { return {ram_, ram_bytes_}; }
  uint64_t ram_bytes() const { return ram_bytes_; }
  int memfd() const { return memfd_; }

  // --- layout; all addresses and sizes are multiples of 4 KiB ------------------------------------
  // Ranges must not overlap (CHECK); where the guest decides the address, ask is_free() first.
  /// RAM bytes [ram_offset, ram_offset + size) appear at `start`.
  void map_ram(Gpa start, uint64_t size, uint64_t ram_offset, std::string name);
  /// Read-only bytes, kept alive by the caller; writes are ignored.
  void map_rom(Gpa start, std::span<uint8_t> bytes, std::string name);
  void map_mmio(Gpa start, uint64_t size, IoRegion& region, std::string name);
  /// Removes what was mapped at exactly `start`.
  void unmap(Gpa start);
  bool is_free(Gpa start, uint64_t size) const;
  /// Overlay of chipset shadowing (i440FX PAM): where reads and writes of a range that has RAM below it go.
  /// That RAM is the RAM at the same offset as the address; it needs no map_ram(), and ROM or MMIO can be
  /// mapped over it.
  enum class Shadow : uint8_t {
    kNone,      ///< both to the ROM/MMIO/nothing mapped there (PCI)
    kReadRam,   ///< read RAM, writes to PCI
    kWriteRam,  ///< reads from PCI, write RAM
    kReadWriteRam,
  };
  void set_shadow(Gpa start, uint64_t size, Shadow shadow);
  /// While closed (the PC's state at reset is the board's business), bit 20 of every address reads as 0.
  void set_a20(bool open);
  bool a20() const { return a20_mask_ == ~uint64_t{0}; }
  uint64_t a20_mask() const { return a20_mask_; }

  /// What is at this physical page (A20 applied here). Slow-ish (binary search): for TLB fills, not every
  /// access.
  Page page(Gpa address) const;

  /// Memory that can be shown to the guest as it is: reads go to `host`, and so do writes if it is
  /// `writable`; else they must be left to write_mmio().
  struct DirectRange {
    Gpa start;
    uint64_t size = 0;
    uint8_t* host = nullptr;
    bool writable = false;
    bool operator==(const DirectRange&) const = default;
  };
  /// All of them, by address, each as long as it can be. Only while the A20 gate is open (CHECK).
  std::vector<DirectRange> direct_ranges() const;

  /// MMIO whose writes may wait (IoRegion::writes_may_wait()).
  struct MmioRange {
    Gpa start;
    uint64_t size = 0;
    bool operator==(const MmioRange&) const = default;
  };
  std::vector<MmioRange> patient_ranges() const;

  // --- physical accesses (page walks, DMA, firmware tables) --------------------------------------
  /// Whole range, any alignment; RAM and ROM. Elsewhere reads give all ones and writes are dropped; returns
  /// false if any part was not backed by memory. Writes tell the listeners of marked pages. MMIO is not
  /// reached by DMA.
  bool read(Gpa address, std::span<uint8_t> out) const;
  bool write(Gpa address, std::span<const uint8_t> bytes);
  /// Grows with each write(): for who must know that somebody else has written, be it anywhere.
  uint64_t writes() const { return writes_; }
  template <class T>
  T read_value(Gpa address) const {
    T value;
    read(address, {reinterpret_cast<uint8_t*>(&value), sizeof value});
    return value;
  }
  template <class T>
  void write_value(Gpa address, T value) {
    write(address, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }

  /// CPU accesses to a page whose Page::read/write is null. `size` 1, 2, 4 or 8, within one page.
  uint64_t read_mmio(Gpa address, unsigned size) const;
  void write_mmio(Gpa address, unsigned size, uint64_t value);
  /// Where these are charged to the devices; null: nowhere.
  void set_time_ledger(TimeLedger* ledger) { time_ = ledger; }
  /// Accesses that need not be made any more; null: none.
  void set_replay(AccessReplay* replay) { replay_ = replay; }

  // --- code marks --------------------------------------------------------------------------------
  /// Marks the RAM page as holding code; on_code_written is called on later writes until every owner that
  /// marked it has cleared its mark.
  void mark_code(Gpa page, const CodeOwner& owner);
  void clear_code_mark(Gpa page, const CodeOwner& owner) { clear_mark(page, owner.mark_); }
  bool has_code_mark(Gpa page) const;
  /// Of the page of a host address from Page::read.
  bool has_code_mark(const uint8_t* host) const {
    return is_ram(host) && holds_code(*code_mark_of_ram(host));
  }
  /// Whether a page with this code mark must not be written without code_written().
  static bool must_tell(uint8_t code_mark) { return (code_mark & ~kMixedMark) != 0; }
  struct CodePage {
    Gpa start;
    const uint8_t* host = nullptr;
  };
  /// Pages that the guest can write to, and whose writes must be told because they hold code. Only while the
  /// A20 gate is open (CHECK).
  std::vector<CodePage> code_pages() const;
  /// A writer that found Page::code_mark set calls this right after its write.
  void code_written(Gpa address, uint64_t size, MemoryListener::Writer writer);
  /// The page holds paging structures whose writes must be told, too: on_tables_written().
  void mark_tables(Gpa page);
  void clear_tables_mark(Gpa page);
  /// Everything made of this page's code goes, and the marks of code.
  void forget_code(Gpa page);
  // Mixed pages hold code beside data that is written often. Writes need not be told, so that whoever keeps
  // anything made of the code compares it with RAM each time that it is entered, and never relies on it
  // behind a write. Nothing marks them. A change of the layout ends it.
  void set_mixed(Gpa page, bool mixed);
  /// Of the page of a host address from Page::read.
  bool is_mixed(const uint8_t* host) const {
    return is_ram(host) && (*code_mark_of_ram(host) & kMixedMark) != 0;
  }
  /// RAM may hold anything now: it was written through ram() or memfd(), as when a saved machine is loaded.
  void contents_replaced() { layout_changed(); }

  void add_listener(MemoryListener& listener) { listeners_.push_back(&listener); }
  void remove_listener(MemoryListener& listener);

 private:
  enum class Kind : uint8_t { kRam, kRom, kMmio };
  static constexpr uint8_t kMixedMark = 0x80, kTablesMark = 0x40;
  static constexpr uint64_t kChunkBytes = uint64_t{64} << 10;
  struct Range {
    uint64_t start;
    uint64_t size;
    Kind kind;
    uint8_t* host;  ///< all but MMIO
    IoRegion* region;
    std::string name;
  };

  GuestMemory(int memfd, uint8_t* ram, uint64_t ram_bytes);
  void add_range(Range range);
  void tell_of_change(const Range& range);
  const Range* find(uint64_t address) const;
  static bool holds_code(uint8_t mark) { return (mark & ~(kMixedMark | kTablesMark)) != 0; }
  friend class CodeOwner;
  uint8_t take_owner_mark();
  void release_owner_mark(uint8_t mark);
  void mark(Gpa page, uint8_t mark);
  void clear_mark(Gpa page, uint8_t mark);
  bool is_ram(const uint8_t* host) const { return host >= ram_ && host < ram_ + ram_bytes_; }
  uint8_t* code_mark_of_ram(const uint8_t* host) const;
  /// Has the host provide the memory around a page of RAM that somebody is about to use.
  void bring_in(const uint8_t* host) const;
  void layout_changed();

  int memfd_;
  uint8_t* ram_;
  uint64_t ram_bytes_;
  uint64_t a20_mask_ = ~uint64_t{0};
  std::vector<Range> ranges_;              ///< sorted, not overlapping
  std::vector<Shadow> shadow_of_page_;     ///< by page number, as far as set_shadow() has reached
  std::unique_ptr<uint8_t[]> code_marks_;  ///< one byte per RAM page
  std::unique_ptr<bool[]> brought_in_;     ///< one per kChunkBytes of RAM
  uint64_t writes_ = 0;                    ///< writes()
  uint8_t owner_marks_ = 0;                ///< that are taken
  std::vector<uint8_t*> mixed_;            ///< marks with kMixedMark
  std::vector<MemoryListener*> listeners_;
  TimeLedger* time_ = nullptr;
  AccessReplay* replay_ = nullptr;
};

}  // namespace vireo
