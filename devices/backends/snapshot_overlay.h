// Keeps a guest's writes away from the image: pages written go to an anonymous temporary file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/host_io.h"
#include "core/result.h"
#include "devices/backends/raw_file.h"

namespace vireo {

/// Copy on write, 4 KiB at a time. The temporary file is sparse, has no name and goes with the object.
class SnapshotOverlay final : public BlockBackend {
 public:
  /// The temporary file is made in $TMPDIR, /var/tmp or /tmp, else in memory.
  static Result<std::unique_ptr<SnapshotOverlay>> create(std::unique_ptr<BlockBackend> base,
                                                         const std::string& path);

  uint64_t size() const override { return base_->size(); }
  bool read_only() const override { return false; }
  bool read(uint64_t offset, std::span<uint8_t> out) override;
  bool write(uint64_t offset, std::span<const uint8_t> bytes) override;
  bool flush() override { return true; }

 private:
  SnapshotOverlay(std::unique_ptr<BlockBackend> base, FileDescriptor overlay, const std::string& path);
  bool written(uint64_t page) const { return (written_[page / 64] >> (page % 64) & 1) != 0; }
  bool write_page(uint64_t page, uint64_t offset, std::span<const uint8_t> bytes);

  std::unique_ptr<BlockBackend> base_;
  FileDescriptor overlay_;
  HostFileErrors errors_;
  std::vector<uint64_t> written_;  ///< a bit per page
};

}  // namespace vireo
