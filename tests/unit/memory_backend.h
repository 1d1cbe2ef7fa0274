// A BlockBackend in memory, for device tests.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "core/host_io.h"

namespace vireo {

/// What the test keeps of a backend that a device owns.
struct MemoryMedium {
  std::vector<uint8_t> bytes;
  bool read_only = false;
  bool fail_reads = false, fail_writes = false, fail_flushes = false;
  int flushes = 0;

  explicit MemoryMedium(uint64_t size) : bytes(size) {}
  /// Each byte of sector n is n, so that a test sees which sector it got.
  void number_sectors(size_t sector_bytes) {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i / sector_bytes);
  }
};

class MemoryBackend final : public BlockBackend {
 public:
  explicit MemoryBackend(MemoryMedium& medium) : medium_(medium) {}
  uint64_t size() const override { return medium_.bytes.size(); }
  bool read_only() const override { return medium_.read_only; }
  bool read(uint64_t offset, std::span<uint8_t> out) override {
    if (medium_.fail_reads || offset + out.size() > size()) return false;
    std::memcpy(out.data(), medium_.bytes.data() + offset, out.size());
    return true;
  }
  bool write(uint64_t offset, std::span<const uint8_t> bytes) override {
    if (medium_.fail_writes || medium_.read_only || offset + bytes.size() > size()) return false;
    std::memcpy(medium_.bytes.data() + offset, bytes.data(), bytes.size());
    return true;
  }
  bool flush() override {
    ++medium_.flushes;
    return !medium_.fail_flushes;
  }

 private:
  MemoryMedium& medium_;
};

}  // namespace vireo
