// Raw image files and block devices behind BlockBackend.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/host_io.h"
#include "core/result.h"

namespace vireo {

enum class ImageKind : uint8_t { kDisk, kFloppy, kCdrom };

struct ImageOptions {
  bool read_only = false;  ///< writes fail; CD-ROMs always are
  /// Writes go to an anonymous temporary file and are gone with the backend; the image is opened read-only.
  bool snapshot = false;
};

/// Opens and locks `path` (an advisory lock that other backends of this and other processes see: shared for
/// reading, exclusive for writing). Never changes the file. Fails with one sentence and status kUsage if the
/// file is missing, of the wrong sort or size, a container or compressed format, cut off, not writable, or in
/// use.
Result<std::unique_ptr<BlockBackend>> open_image(const std::string& path, ImageKind kind,
                                                 const ImageOptions& options = {});

}  // namespace vireo
