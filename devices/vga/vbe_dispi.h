// The Bochs display interface: sixteen-bit index and data ports that set linear modes (Bochs "VBE Display
// HOWTO"; as the VGA BIOS of SeaBIOS drives it).
#pragma once

#include <array>
#include <cstdint>

#include "core/device.h"

namespace vireo {

class VbeDispi {
 public:
  enum Index : uint8_t {
    kId,
    kXRes,
    kYRes,
    kBpp,
    kEnable,
    kBank,
    kVirtualWidth,
    kVirtualHeight,
    kXOffset,
    kYOffset,
    kVideoMemory64K,
    kCount,
  };
  static constexpr uint16_t kEnabled = 0x01;
  static constexpr uint16_t kGetCapabilities = 0x02;
  static constexpr uint16_t k8BitDac = 0x20;
  static constexpr uint16_t kLinearFramebuffer = 0x40;
  static constexpr uint16_t kNoClear = 0x80;

  explicit VbeDispi(uint32_t vram_bytes) : vram_bytes_(vram_bytes) { reset(); }

  uint16_t read(unsigned index) const;
  /// True when the write switched a mode on that asks for cleared memory.
  bool write(unsigned index, uint16_t value);

  bool enabled() const { return (registers_[kEnable] & kEnabled) != 0; }
  bool dac_8_bit() const { return (registers_[kEnable] & k8BitDac) != 0; }
  unsigned width() const { return registers_[kXRes]; }
  unsigned height() const { return registers_[kYRes]; }
  unsigned bits_per_pixel() const { return registers_[kBpp]; }  ///< 4 (planar), 8, 15, 16, 24 or 32
  uint32_t bank_offset() const { return registers_[kBank] * 0x10000u; }
  /// Bytes from line to line; for 4 bits a pixel, of one plane.
  uint32_t pitch() const { return registers_[kVirtualWidth] * bytes_per_8_pixels(registers_[kBpp]) / 8; }
  /// First byte shown (for 4 bits a pixel, of each plane).
  uint32_t start() const;

  uint16_t selected = 0;  ///< the index port

  void reset();
  void state(StateArchive& ar);

 private:
  static unsigned bytes_per_8_pixels(unsigned bpp) { return bpp == 4 ? 1 : bpp == 15 ? 16 : bpp; }
  void constrain();

  uint32_t vram_bytes_;
  std::array<uint16_t, kCount> registers_{};
};

}  // namespace vireo
