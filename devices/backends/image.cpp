#include "devices/backends/image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/log.h"
#include "devices/backends/image_check.h"
#include "devices/backends/raw_file.h"
#include "devices/backends/snapshot_overlay.h"

namespace vireo {

namespace {

Error problem(const std::string& path, std::string_view text) {
  return Error{fmt::format("{}: {}", path, text)};
}

std::optional<std::string> wrong_sort(mode_t mode) {
  if (S_ISREG(mode) || S_ISBLK(mode)) return std::nullopt;
  if (S_ISDIR(mode)) return "this is a directory, not an image file";
  if (S_ISCHR(mode)) return "this is a character device; only files and block devices can be drives";
  if (S_ISFIFO(mode)) return "this is a pipe; only files and block devices can be drives";
  return "this is a socket; only files and block devices can be drives";
}

std::string not_writable(ImageKind kind) {
  return fmt::format(
      "the file is read-only, and a {} is written to; make it writable (chmod u+w) or use --snapshot",
      kind == ImageKind::kFloppy ? "diskette" : "disk");
}

std::string cannot_open(int error, bool for_writing, ImageKind kind) {
  if (error == ENOENT) return "there is no such file";
  if (for_writing && (error == EACCES || error == EPERM || error == EROFS)) return not_writable(kind);
  if (error == EACCES || error == EPERM) return "you may not read this file";
  if (error == ENOMEDIUM) return "there is no medium in this device";
  return fmt::format("cannot open: {}", std::strerror(error));
}

/// Open file description locks: two descriptors of one process exclude each other too (fcntl(2)).
std::optional<std::string> lock_problem(int fd, bool exclusive) {
  struct flock lock = {};
  lock.l_type = exclusive ? F_WRLCK : F_RDLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, F_OFD_SETLK, &lock) == 0) return std::nullopt;
  if (errno == EAGAIN || errno == EACCES) {
    return exclusive
               ? "the file is in use by another drive or another emulator; use --snapshot on both, or a copy"
               : "the file is in use for writing by another drive or another emulator; use a copy";
  }
  return std::nullopt;  // a file system without locks: nothing to ask
}

std::optional<uint64_t> file_size(int fd, const struct stat& info) {
  if (S_ISREG(info.st_mode)) return static_cast<uint64_t>(info.st_size);
  uint64_t bytes = 0;
  if (::ioctl(fd, BLKGETSIZE64, &bytes) != 0) return std::nullopt;
  return bytes;
}

}  // namespace

Result<std::unique_ptr<BlockBackend>> open_image(const std::string& path, ImageKind kind,
                                                 const ImageOptions& options) {
  const bool writes_file = kind != ImageKind::kCdrom && !options.read_only && !options.snapshot;

  // Before open(): opening a pipe waits, and opening some devices does things.
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return problem(path, cannot_open(errno, false, kind));
  if (auto text = wrong_sort(info.st_mode)) return problem(path, *text);

  // Root may write such a file, but its owner has said that it is not to change.
  if (writes_file && S_ISREG(info.st_mode) && (info.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0) {
    return problem(path, not_writable(kind));
  }

  FileDescriptor fd(
      ::open(path.c_str(), (writes_file ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!fd.valid()) {
    const int error = errno;
    const bool readable = ::faccessat(AT_FDCWD, path.c_str(), R_OK, AT_EACCESS) == 0;
    return problem(path, cannot_open(error, writes_file && readable, kind));
  }
  if (::fstat(fd.get(), &info) != 0) return problem(path, cannot_open(errno, false, kind));
  if (auto text = wrong_sort(info.st_mode)) return problem(path, *text);

  const std::optional<uint64_t> size = file_size(fd.get(), info);
  if (!size)
    return problem(path, fmt::format("the size of this device is unknown: {}", std::strerror(errno)));
  if (auto text = image_size_problem(kind, *size)) return problem(path, *text);
  if (auto text = lock_problem(fd.get(), writes_file)) return problem(path, *text);

  const auto read = [&](uint64_t offset, std::span<uint8_t> out) {
    return read_fully(fd.get(), out.data(), out.size(), offset) == 0;
  };
  std::array<uint8_t, 1> first_byte;
  if (!read(0, first_byte)) return problem(path, fmt::format("cannot read: {}", std::strerror(errno)));
  if (auto text = image_content_problem(kind, *size, read)) return problem(path, *text);

  const bool read_only = !writes_file;
  std::unique_ptr<BlockBackend> file = std::make_unique<RawFile>(std::move(fd), path, *size, read_only);
  if (!options.snapshot || options.read_only || kind == ImageKind::kCdrom) return file;
  Result<std::unique_ptr<SnapshotOverlay>> overlay = SnapshotOverlay::create(std::move(file), path);
  if (!overlay) return overlay.error();
  return std::unique_ptr<BlockBackend>(overlay.take());
}

}  // namespace vireo
