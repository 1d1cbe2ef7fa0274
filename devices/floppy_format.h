// The diskette formats that a raw image's size can mean.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vireo {

/// What the controller's data rate select pins ask for (82077AA, DSR and CCR bits 0 and 1).
enum class FloppyRate : uint8_t { k500 = 0, k300 = 1, k250 = 2, k1000 = 3 };

/// The CMOS type of a drive (register 10h, one nibble a drive).
enum class FloppyDriveType : uint8_t { kNone = 0, k360K = 1, k1200K = 2, k720K = 3, k1440K = 4, k2880K = 5 };

struct FloppyFormat {
  std::string_view name;
  uint8_t cylinders;
  uint8_t heads;
  uint8_t sectors_per_track;
  FloppyRate rate;
  FloppyDriveType drive;  ///< the drive that such a diskette is at home in

  static constexpr uint32_t kSectorBytes = 512;
  constexpr uint32_t bytes() const { return uint32_t{cylinders} * heads * sectors_per_track * kSectorBytes; }
};

inline constexpr std::array<FloppyFormat, 11> kFloppyFormats = {{
    {"160K", 40, 1, 8, FloppyRate::k250, FloppyDriveType::k360K},
    {"180K", 40, 1, 9, FloppyRate::k250, FloppyDriveType::k360K},
    {"320K", 40, 2, 8, FloppyRate::k250, FloppyDriveType::k360K},
    {"360K", 40, 2, 9, FloppyRate::k250, FloppyDriveType::k360K},
    {"640K", 80, 2, 8, FloppyRate::k250, FloppyDriveType::k720K},
    {"720K", 80, 2, 9, FloppyRate::k250, FloppyDriveType::k720K},
    {"1.2M", 80, 2, 15, FloppyRate::k500, FloppyDriveType::k1200K},
    {"1.44M", 80, 2, 18, FloppyRate::k500, FloppyDriveType::k1440K},
    {"1.68M", 80, 2, 21, FloppyRate::k500, FloppyDriveType::k1440K},
    {"1.72M", 82, 2, 21, FloppyRate::k500, FloppyDriveType::k1440K},
    {"2.88M", 80, 2, 36, FloppyRate::k1000, FloppyDriveType::k2880K},
}};

/// The format whose image has exactly this many bytes.
constexpr std::optional<FloppyFormat> floppy_format_of_size(uint64_t bytes) {
  for (const FloppyFormat& format : kFloppyFormats) {
    if (format.bytes() == bytes) return format;
  }
  return std::nullopt;
}

}  // namespace vireo
