// Cylinders, heads and sectors of a disk that is really a row of sectors.
#pragma once

#include <cstdint>

#include "core/host_io.h"

namespace vireo {

struct DiskGeometry {
  uint16_t cylinders;         ///< 1 to 16383 as a default, to 65535 after INITIALIZE DEVICE PARAMETERS
  uint8_t heads;              ///< 1 to 16
  uint8_t sectors_per_track;  ///< 1 to 63
};

/// The geometry that IDENTIFY tells: the one that the partition table's end addresses imply if it is one that
/// an ATA disk can have (disks moved from an old machine), else 16 heads of 63 sectors.
DiskGeometry default_geometry(BlockBackend& medium);

}  // namespace vireo
