// A raw file or block device as a BlockBackend.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "core/host_io.h"

namespace vireo {

/// Owns a file descriptor (and with it any lock on the file).
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release();

 private:
  int fd_;
};

/// Says at most once what the host did wrong to a file; later errors are the same story.
class HostFileErrors {
 public:
  explicit HostFileErrors(std::string path) : path_(std::move(path)) {}
  /// `error` is an errno value; 0: the file ended early. Always returns false.
  bool report(const char* operation, int error);

 private:
  std::string path_;
  bool reported_ = false;
};

/// Whole transfers at an offset, EINTR and short counts handled. 0, an errno value, or -1 for the end of the
/// file.
int read_fully(int fd, uint8_t* bytes, size_t size, uint64_t offset);
int write_fully(int fd, const uint8_t* bytes, size_t size, uint64_t offset);

class RawFile final : public BlockBackend {
 public:
  RawFile(FileDescriptor fd, std::string path, uint64_t size, bool read_only)
      : fd_(std::move(fd)), errors_(std::move(path)), size_(size), read_only_(read_only) {}

  uint64_t size() const override { return size_; }
  bool read_only() const override { return read_only_; }
  bool read(uint64_t offset, std::span<uint8_t> out) override;
  bool write(uint64_t offset, std::span<const uint8_t> bytes) override;
  bool flush() override;

 private:
  FileDescriptor fd_;
  HostFileErrors errors_;
  uint64_t size_;
  bool read_only_;
  bool dirty_ = false;
};

}  // namespace vireo
