#include "devices/ide/disk_geometry.h"

#include <algorithm>
#include <array>
#include <optional>

namespace vireo {

namespace {

constexpr uint32_t kSectorBytes = 512;
constexpr uint64_t kMaxCylinders = 16383;

DiskGeometry geometry_for(uint64_t sectors, uint8_t heads, uint8_t sectors_per_track) {
  const uint64_t cylinders = sectors / (uint64_t{heads} * sectors_per_track);
  return {static_cast<uint16_t>(std::clamp<uint64_t>(cylinders, 1, kMaxCylinders)), heads, sectors_per_track};
}

/// A partition normally ends on the last sector of a cylinder: its end head and sector are then the largest
/// there are.
std::optional<DiskGeometry> geometry_of_partitions(BlockBackend& medium) {
  std::array<uint8_t, kSectorBytes> boot;
  const uint64_t sectors = medium.size() / kSectorBytes;
  if (!medium.read(0, boot) || boot[510] != 0x55 || boot[511] != 0xaa) return std::nullopt;
  for (size_t entry = 446; entry < 510; entry += 16) {
    const auto le32 = [&](size_t i) {
      return boot[i] | boot[i + 1] << 8 | boot[i + 2] << 16 | static_cast<uint32_t>(boot[i + 3]) << 24;
    };
    const uint8_t end_head = boot[entry + 5];
    const uint8_t end_sector = boot[entry + 6] & 0x3f;
    const uint32_t end_cylinder = boot[entry + 7] | (boot[entry + 6] & 0xc0u) << 2;
    const uint64_t end_lba = uint64_t{le32(entry + 8)} + le32(entry + 12);
    const bool plausible_entry = (boot[entry] & 0x7f) == 0 && boot[entry + 4] != 0 && le32(entry + 12) != 0;
    if (!plausible_entry || end_sector == 0 || end_head > 15) continue;
    const uint8_t heads = end_head + 1;
    // Both address forms must agree, or the table says nothing about the drive.
    if ((uint64_t{end_cylinder} * heads + end_head) * end_sector + end_sector != end_lba || end_lba > sectors)
      continue;
    return geometry_for(sectors, heads, end_sector);
  }
  return std::nullopt;
}

}  // namespace

DiskGeometry default_geometry(BlockBackend& medium) {
  if (const std::optional<DiskGeometry> found = geometry_of_partitions(medium)) return *found;
  const uint64_t sectors = medium.size() / kSectorBytes;
  if (sectors >= 16 * 63) return geometry_for(sectors, 16, 63);
  return geometry_for(sectors, 1, static_cast<uint8_t>(std::min<uint64_t>(sectors, 63)));
}

}  // namespace vireo
