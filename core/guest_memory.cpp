#include "core/guest_memory.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/check.h"
#include "core/log.h"

namespace vireo {

namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kA20 = uint64_t{1} << 20;

bool page_aligned(uint64_t value) {
  return (value & kPageMask) == 0;
}

uint64_t all_ones(unsigned size) {
  return size == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
}

/// RAM and swap together: more than that can never be filled, and the kernel would only say so by killing us.
uint64_t host_memory_bytes() {
  struct sysinfo info {};
  if (sysinfo(&info) != 0) return ~uint64_t{0};
  return (uint64_t{info.totalram} + info.totalswap) * info.mem_unit;
}

Error no_memory(uint64_t ram_bytes, const std::string& reason) {
  return Error{
      fmt::format("cannot give the guest {} MiB of RAM: {}; use a smaller -m", ram_bytes / kMiB, reason),
      ExitStatus::kHostCannot};
}

}  // namespace

Result<std::unique_ptr<GuestMemory>> GuestMemory::create(uint64_t ram_bytes) {
  if (ram_bytes == 0 || ram_bytes % kMiB != 0) {
    return Error{fmt::format("guest RAM must be a whole number of MiB, at least 1, not {} bytes", ram_bytes),
                 ExitStatus::kUsage};
  }
  if (const uint64_t host_bytes = host_memory_bytes(); ram_bytes > host_bytes) {
    return no_memory(ram_bytes, fmt::format("this host has {} MiB of memory and swap", host_bytes / kMiB));
  }
  const int memfd = memfd_create("vireo-ram", MFD_CLOEXEC);
  if (memfd < 0) return no_memory(ram_bytes, std::strerror(errno));
  void* ram = MAP_FAILED;
  if (ftruncate(memfd, static_cast<off_t>(ram_bytes)) == 0) {
    ram = mmap(nullptr, ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memfd, 0);
  }
  if (ram == MAP_FAILED) {
    const int error = errno;
    close(memfd);
    return no_memory(ram_bytes, std::strerror(error));
  }
  return std::unique_ptr<GuestMemory>(new GuestMemory(memfd, static_cast<uint8_t*>(ram), ram_bytes));
}

GuestMemory::GuestMemory(int memfd, uint8_t* ram, uint64_t ram_bytes)
    : memfd_(memfd),
      ram_(ram),
      ram_bytes_(ram_bytes),
      code_marks_(std::make_unique<uint8_t[]>(ram_bytes / kPageSize)),
      brought_in_(std::make_unique<bool[]>(ram_bytes / kChunkBytes)) {}

GuestMemory::~GuestMemory() {
  munmap(ram_, ram_bytes_);
  close(memfd_);
}

// --- layout --------------------------------------------------------------------------------------

void GuestMemory::add_range(Range range) {
  CHECK(range.size > 0 && page_aligned(range.start) && page_aligned(range.size));
  CHECK(is_free({range.start}, range.size));
  auto position = std::upper_bound(ranges_.begin(), ranges_.end(), range.start,
                                   [](uint64_t address, const Range& r) { return address < r.start; });
  tell_of_change(*ranges_.insert(position, std::move(range)));
}

void GuestMemory::tell_of_change(const Range& range) {
  if (range.kind != Kind::kMmio) {
    layout_changed();
    return;
  }
  for (MemoryListener* listener : listeners_) listener->on_mmio_changed();
}

void GuestMemory::map_ram(Gpa start, uint64_t size, uint64_t ram_offset, std::string name) {
  CHECK(page_aligned(ram_offset) && ram_offset <= ram_bytes_ && size <= ram_bytes_ - ram_offset);
  add_range({start.value, size, Kind::kRam, ram_ + ram_offset, nullptr, std::move(name)});
}

void GuestMemory::map_rom(Gpa start, std::span<uint8_t> bytes, std::string name) {
  add_range({start.value, bytes.size(), Kind::kRom, bytes.data(), nullptr, std::move(name)});
}

void GuestMemory::map_mmio(Gpa start, uint64_t size, IoRegion& region, std::string name) {
  add_range({start.value, size, Kind::kMmio, nullptr, &region, std::move(name)});
}

void GuestMemory::unmap(Gpa start) {
  auto found =
      std::find_if(ranges_.begin(), ranges_.end(), [&](const Range& r) { return r.start == start.value; });
  CHECK(found != ranges_.end());
  const Range gone = std::move(*found);
  ranges_.erase(found);
  tell_of_change(gone);
}

bool GuestMemory::is_free(Gpa start, uint64_t size) const {
  if (size > ~uint64_t{0} - start.value) return false;
  return std::none_of(ranges_.begin(), ranges_.end(), [&](const Range& r) {
    return start.value < r.start + r.size && r.start < start.value + size;
  });
}

void GuestMemory::set_shadow(Gpa start, uint64_t size, Shadow shadow) {
  CHECK(page_aligned(start.value) && page_aligned(size) && start.value + size <= ram_bytes_);
  const size_t first = start.value / kPageSize;
  const size_t last = first + size / kPageSize;
  if (shadow_of_page_.size() < last) shadow_of_page_.resize(last, Shadow::kNone);
  const auto begin = shadow_of_page_.begin() + static_cast<ptrdiff_t>(first);
  const auto end = shadow_of_page_.begin() + static_cast<ptrdiff_t>(last);
  if (std::all_of(begin, end, [&](Shadow s) { return s == shadow; })) return;
  std::fill(begin, end, shadow);
  layout_changed();
}

void GuestMemory::set_a20(bool open) {
  const uint64_t mask = open ? ~uint64_t{0} : ~kA20;
  if (mask == a20_mask_) return;
  a20_mask_ = mask;
  layout_changed();
}

const GuestMemory::Range* GuestMemory::find(uint64_t address) const {
  auto after = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                                [](uint64_t value, const Range& r) { return value < r.start; });
  if (after == ranges_.begin()) return nullptr;
  const Range& range = *(after - 1);
  return address - range.start < range.size ? &range : nullptr;
}

GuestMemory::Page GuestMemory::page(Gpa address) const {
  const uint64_t start = (address.value & a20_mask_) & ~kPageMask;
  Page page;
  if (const Range* range = find(start)) {
    const uint64_t offset = start - range->start;
    switch (range->kind) {
      case Kind::kRam:
        page.read = page.write = range->host + offset;
        page.code_mark = code_mark_of_ram(page.write);
        bring_in(page.read);
        break;
      case Kind::kRom:
        page.read = range->host + offset;
        break;
      case Kind::kMmio:
        page.mmio = range->region;
        page.mmio_offset = static_cast<uint32_t>(offset);
        break;
    }
  }
  if (const size_t number = start / kPageSize; number < shadow_of_page_.size()) {
    const Shadow shadow = shadow_of_page_[number];
    if (shadow != Shadow::kNone) {
      uint8_t* ram = ram_ + start;
      page.code_mark = code_mark_of_ram(ram);
      bring_in(ram);
      if (shadow != Shadow::kWriteRam) page.read = ram;
      if (shadow != Shadow::kReadRam) page.write = ram;
    }
  }
  return page;
}

// A page fault of the host costs as much as several pages that come without one; where the host is a guest
// itself, ten. If it cannot (Linux before 5.14, no memory), the access will find out.
void GuestMemory::bring_in(const uint8_t* host) const {
  const uint64_t chunk = static_cast<uint64_t>(host - ram_) / kChunkBytes;
  if (std::exchange(brought_in_[chunk], true)) return;
#ifdef MADV_POPULATE_WRITE
  madvise(ram_ + chunk * kChunkBytes, kChunkBytes, MADV_POPULATE_WRITE);
#endif
}

std::vector<GuestMemory::DirectRange> GuestMemory::direct_ranges() const {
  CHECK(a20());
  std::vector<DirectRange> found;
  const auto add = [&](uint64_t start, uint64_t size, uint8_t* host, bool writable) {
    if (!found.empty()) {
      DirectRange& last = found.back();
      if (last.start + last.size == Gpa{start} && last.host + last.size == host &&
          last.writable == writable) {
        last.size += size;
        return;
      }
    }
    found.push_back({{start}, size, host, writable});
  };
  // Where anything can be shadowed every page may be another matter.
  const uint64_t shadowed = shadow_of_page_.size() * kPageSize;
  for (uint64_t start = 0; start < shadowed; start += kPageSize) {
    const Page p = page({start});
    if (p.read != nullptr && (p.write == nullptr || p.write == p.read)) {
      add(start, kPageSize, p.read, p.write != nullptr);
    }
  }
  for (const Range& range : ranges_) {
    const uint64_t start = std::max(range.start, shadowed), end = range.start + range.size;
    if (range.kind == Kind::kMmio || start >= end) continue;
    add(start, end - start, range.host + (start - range.start), range.kind == Kind::kRam);
  }
  return found;
}

std::vector<GuestMemory::MmioRange> GuestMemory::patient_ranges() const {
  std::vector<MmioRange> found;
  for (const Range& range : ranges_) {
    if (range.kind == Kind::kMmio && range.region->writes_may_wait())
      found.push_back({{range.start}, range.size});
  }
  return found;
}

uint8_t* GuestMemory::code_mark_of_ram(const uint8_t* host) const {
  return code_marks_.get() + static_cast<size_t>(host - ram_) / kPageSize;
}

// --- accesses ------------------------------------------------------------------------------------

bool GuestMemory::read(Gpa address, std::span<uint8_t> out) const {
  bool backed = true;
  while (!out.empty()) {
    const size_t count = std::min<size_t>(out.size(), kPageSize - address.page_offset());
    if (const Page p = page(address); p.read != nullptr) {
      std::memcpy(out.data(), p.read + address.page_offset(), count);
    } else {
      std::memset(out.data(), 0xff, count);
      backed = false;
    }
    out = out.subspan(count);
    address = address + count;
  }
  return backed;
}

bool GuestMemory::write(Gpa address, std::span<const uint8_t> bytes) {
  ++writes_;
  bool backed = true;
  while (!bytes.empty()) {
    const size_t count = std::min<size_t>(bytes.size(), kPageSize - address.page_offset());
    if (const Page p = page(address); p.write != nullptr) {
      std::memcpy(p.write + address.page_offset(), bytes.data(), count);
      if (*p.code_mark != 0) code_written(address, count, MemoryListener::Writer::kOther);
    } else {
      backed = false;
    }
    bytes = bytes.subspan(count);
    address = address + count;
  }
  return backed;
}

uint64_t GuestMemory::read_mmio(Gpa address, unsigned size) const {
  if (replay_ != nullptr) {
    if (const auto made = replay_->take_read(DeviceAccess::Space::kMemory, address.value, size)) return *made;
  }
  const Page p = page(address);
  if (p.read != nullptr) {
    uint64_t value = 0;
    std::memcpy(&value, p.read + address.page_offset(), size);
    return value;
  }
  if (p.mmio != nullptr) {
    const TimeScope scope(time_, TimeLedger::Component::kDevices);
    return p.mmio->read(p.mmio_offset + static_cast<uint32_t>(address.page_offset()), size) & all_ones(size);
  }
  guest_error(LogCategory::kIo, "read of {} bytes at {:#x}, where nothing is", size, address.value);
  return all_ones(size);
}

void GuestMemory::write_mmio(Gpa address, unsigned size, uint64_t value) {
  value &= all_ones(size);
  if (replay_ != nullptr && replay_->take_write(DeviceAccess::Space::kMemory, address.value, size, value))
    return;
  const Page p = page(address);
  if (p.write != nullptr) {
    write(address, {reinterpret_cast<const uint8_t*>(&value), size});
  } else if (p.mmio != nullptr) {
    const TimeScope scope(time_, TimeLedger::Component::kDevices);
    p.mmio->write(p.mmio_offset + static_cast<uint32_t>(address.page_offset()), size, value);
  } else {
    guest_error(LogCategory::kIo, "write of {} bytes at {:#x}, where {} is", size, address.value,
                p.read != nullptr ? "read-only memory" : "nothing");
  }
}

// --- code marks ----------------------------------------------------------------------------------

void GuestMemory::mark(Gpa address, uint8_t mark) {
  // What is read from ROM cannot be overwritten, even where writes go to RAM below it; what is in
  // write-protected shadow RAM can, after the protection is lifted.
  const Page p = page(address);
  const bool read_from_rom = p.write != nullptr && p.write != p.read;
  if (p.code_mark == nullptr || read_from_rom) return;
  const bool first = !must_tell(*p.code_mark);
  *p.code_mark |= mark;
  if (!first) return;
  for (MemoryListener* listener : listeners_)
    listener->on_code_marked({address.value & a20_mask_ & ~kPageMask});
}

CodeOwner::CodeOwner(GuestMemory& memory) : memory_(memory), mark_(memory.take_owner_mark()) {}

CodeOwner::~CodeOwner() {
  memory_.release_owner_mark(mark_);
}

uint8_t GuestMemory::take_owner_mark() {
  const auto mark = static_cast<uint8_t>(~owner_marks_ & (owner_marks_ + 1));  // the lowest one that is free
  CHECK(holds_code(mark));
  owner_marks_ |= mark;
  return mark;
}

/// Whoever gets it next has marked nothing yet.
void GuestMemory::release_owner_mark(uint8_t mark) {
  owner_marks_ &= static_cast<uint8_t>(~mark);
  for (uint64_t i = 0; i < ram_bytes_ / kPageSize; ++i) code_marks_[i] &= static_cast<uint8_t>(~mark);
}

void GuestMemory::mark_code(Gpa address, const CodeOwner& owner) {
  if (const Page p = page(address); p.code_mark != nullptr && (*p.code_mark & kMixedMark) != 0) return;
  mark(address, owner.mark_);
}

void GuestMemory::mark_tables(Gpa address) {
  mark(address, kTablesMark);
}

void GuestMemory::clear_tables_mark(Gpa address) {
  clear_mark(address, kTablesMark);
}

void GuestMemory::clear_mark(Gpa address, uint8_t mark) {
  if (const Page p = page(address); p.code_mark != nullptr) *p.code_mark &= static_cast<uint8_t>(~mark);
}

bool GuestMemory::has_code_mark(Gpa address) const {
  const Page p = page(address);
  return p.code_mark != nullptr && holds_code(*p.code_mark);
}

void GuestMemory::code_written(Gpa address, uint64_t size, MemoryListener::Writer writer) {
  const Gpa start{address.value & a20_mask_};
  const uint8_t mark = *page(address).code_mark;
  for (MemoryListener* listener : listeners_) {
    if ((mark & kTablesMark) != 0) listener->on_tables_written(start, size);
    if ((mark & ~kTablesMark) != 0) listener->on_code_written(start, size, writer);
  }
}

std::vector<GuestMemory::CodePage> GuestMemory::code_pages() const {
  std::vector<CodePage> found;
  for (const DirectRange& range : direct_ranges()) {
    if (!range.writable || !is_ram(range.host)) continue;
    const uint8_t* const marks = code_mark_of_ram(range.host);
    const uint64_t pages = range.size / kPageSize;
    for (uint64_t i = 0; i < pages; ++i) {
      if (holds_code(marks[i]) && (marks[i] & kMixedMark) == 0)
        found.push_back({range.start + i * kPageSize, range.host + i * kPageSize});
    }
  }
  return found;
}

void GuestMemory::forget_code(Gpa address) {
  for (MemoryListener* listener : listeners_)
    listener->on_forget_code({address.value & a20_mask_ & ~kPageMask});
}

void GuestMemory::set_mixed(Gpa address, bool mixed) {
  const Page p = page(address);
  if (p.code_mark == nullptr || ((*p.code_mark & kMixedMark) != 0) == mixed) return;
  forget_code(address);
  if (mixed) {
    *p.code_mark |= kMixedMark;
    mixed_.push_back(p.code_mark);
  } else {
    *p.code_mark &= static_cast<uint8_t>(~kMixedMark);
    std::erase(mixed_, p.code_mark);
  }
}

void GuestMemory::remove_listener(MemoryListener& listener) {
  std::erase(listeners_, &listener);
}

void GuestMemory::layout_changed() {
  for (uint8_t* mark : mixed_) *mark = 0;
  mixed_.clear();
  for (MemoryListener* listener : listeners_) listener->on_layout_changed();
}

}  // namespace vireo
