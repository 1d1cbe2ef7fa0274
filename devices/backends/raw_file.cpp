#include "devices/backends/raw_file.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "core/log.h"

namespace vireo {

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

int FileDescriptor::release() {
  return std::exchange(fd_, -1);
}

bool HostFileErrors::report(const char* operation, int error) {
  if (!reported_) {
    reported_ = true;
    notice(fmt::format("{}: cannot {}: {}; the guest sees a drive error (said once for this file)", path_,
                       operation, error > 0 ? std::strerror(error) : "the file has become shorter"));
  }
  return false;
}

int read_fully(int fd, uint8_t* bytes, size_t size, uint64_t offset) {
  while (size > 0) {
    const ssize_t n = ::pread(fd, bytes, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return -1;
    bytes += n;
    size -= static_cast<size_t>(n);
    offset += static_cast<uint64_t>(n);
  }
  return 0;
}

int write_fully(int fd, const uint8_t* bytes, size_t size, uint64_t offset) {
  while (size > 0) {
    const ssize_t n = ::pwrite(fd, bytes, size, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return ENOSPC;
    bytes += n;
    size -= static_cast<size_t>(n);
    offset += static_cast<uint64_t>(n);
  }
  return 0;
}

bool RawFile::read(uint64_t offset, std::span<uint8_t> out) {
  CHECK(offset <= size_ && out.size() <= size_ - offset);
  const int error = read_fully(fd_.get(), out.data(), out.size(), offset);
  return error == 0 || errors_.report("read", error);
}

bool RawFile::write(uint64_t offset, std::span<const uint8_t> bytes) {
  CHECK(offset <= size_ && bytes.size() <= size_ - offset);
  if (read_only_) return false;
  dirty_ = true;
  const int error = write_fully(fd_.get(), bytes.data(), bytes.size(), offset);
  return error == 0 || errors_.report("write", error);
}

bool RawFile::flush() {
  if (!dirty_) return true;
  if (::fdatasync(fd_.get()) != 0) return errors_.report("flush", errno);
  dirty_ = false;
  return true;
}

}  // namespace vireo
