#include "devices/backends/snapshot_overlay.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/check.h"
#include "core/types.h"

namespace vireo {

namespace {

FileDescriptor anonymous_file() {
  const char* tmpdir = std::getenv("TMPDIR");
  for (const char* folder : {tmpdir, "/var/tmp", "/tmp"}) {
    if (folder == nullptr || *folder == '\0') continue;
    FileDescriptor fd(::open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600));
    if (fd.valid()) return fd;
    // File systems without O_TMPFILE: a name that is gone before anyone sees it.
    std::string name = std::string(folder) + "/vireo-XXXXXX";
    fd = FileDescriptor(::mkostemp(name.data(), O_CLOEXEC));
    if (fd.valid()) {
      ::unlink(name.c_str());
      return fd;
    }
  }
  return FileDescriptor(::memfd_create("vireo-snapshot", MFD_CLOEXEC));
}

}  // namespace

SnapshotOverlay::SnapshotOverlay(std::unique_ptr<BlockBackend> base, FileDescriptor overlay,
                                 const std::string& path)
    : base_(std::move(base)),
      overlay_(std::move(overlay)),
      errors_("temporary file for --snapshot of " + path),
      written_((base_->size() / kPageSize + 1 + 63) / 64) {}

Result<std::unique_ptr<SnapshotOverlay>> SnapshotOverlay::create(std::unique_ptr<BlockBackend> base,
                                                                 const std::string& path) {
  FileDescriptor overlay = anonymous_file();
  if (!overlay.valid()) {
    return Error{fmt::format(
        "{}: --snapshot needs a temporary file, but none can be made ({}); set TMPDIR to a folder "
        "that you can write to",
        path, std::strerror(errno))};
  }
  return std::unique_ptr<SnapshotOverlay>(new SnapshotOverlay(std::move(base), std::move(overlay), path));
}

bool SnapshotOverlay::read(uint64_t offset, std::span<uint8_t> out) {
  CHECK(offset <= size() && out.size() <= size() - offset);
  while (!out.empty()) {
    // The longest run of pages that all come from the same place.
    const uint64_t first = offset / kPageSize;
    const bool from_overlay = written(first);
    const uint64_t end_page = (offset + out.size() - 1) / kPageSize;
    uint64_t last = first;
    while (last < end_page && written(last + 1) == from_overlay) ++last;
    const size_t n = std::min<uint64_t>(out.size(), (last + 1) * kPageSize - offset);
    if (from_overlay) {
      const int error = read_fully(overlay_.get(), out.data(), n, offset);
      if (error != 0) return errors_.report("read", error);
    } else if (!base_->read(offset, out.first(n))) {
      return false;
    }
    out = out.subspan(n);
    offset += n;
  }
  return true;
}

bool SnapshotOverlay::write(uint64_t offset, std::span<const uint8_t> bytes) {
  CHECK(offset <= size() && bytes.size() <= size() - offset);
  while (!bytes.empty()) {
    const uint64_t page = offset / kPageSize;
    const size_t n = std::min<uint64_t>(bytes.size(), kPageSize - offset % kPageSize);
    if (!write_page(page, offset, bytes.first(n))) return false;
    bytes = bytes.subspan(n);
    offset += n;
  }
  return true;
}

bool SnapshotOverlay::write_page(uint64_t page, uint64_t offset, std::span<const uint8_t> bytes) {
  const uint64_t page_start = page * kPageSize;
  const size_t page_bytes = std::min<uint64_t>(kPageSize, size() - page_start);
  std::array<uint8_t, kPageSize> whole;
  if (!written(page) && bytes.size() < page_bytes) {
    if (!base_->read(page_start, std::span(whole).first(page_bytes))) return false;
    std::memcpy(whole.data() + (offset - page_start), bytes.data(), bytes.size());
    bytes = std::span(whole).first(page_bytes);
    offset = page_start;
  }
  const int error = write_fully(overlay_.get(), bytes.data(), bytes.size(), offset);
  if (error != 0) return errors_.report("write", error);
  written_[page / 64] |= uint64_t{1} << (page % 64);
  return true;
}

}  // namespace vireo
