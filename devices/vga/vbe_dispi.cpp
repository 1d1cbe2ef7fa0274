#include "devices/vga/vbe_dispi.h"

#include <algorithm>

#include "core/log.h"

namespace vireo {

namespace {
constexpr uint16_t kInterfaceVersion5 = 0xb0c5;
constexpr uint16_t kMaxWidth = 2560;
constexpr uint16_t kMaxHeight = 1600;
constexpr uint16_t kMaxBpp = 32;
}  // namespace

void VbeDispi::reset() {
  registers_ = {};
  registers_[kId] = kInterfaceVersion5;
  registers_[kVideoMemory64K] = static_cast<uint16_t>(vram_bytes_ >> 16);
  selected = 0;
}

uint16_t VbeDispi::read(unsigned index) const {
  if (index >= kCount) return 0;
  if ((registers_[kEnable] & kGetCapabilities) != 0) {
    if (index == kXRes) return kMaxWidth;
    if (index == kYRes) return kMaxHeight;
    if (index == kBpp) return kMaxBpp;
  }
  return registers_[index];
}

uint32_t VbeDispi::start() const {
  return registers_[kYOffset] * pitch() + registers_[kXOffset] * bytes_per_8_pixels(registers_[kBpp]) / 8;
}

bool VbeDispi::write(unsigned index, uint16_t value) {
  switch (index) {
    case kId:
      if (value >= 0xb0c0 && value <= kInterfaceVersion5) registers_[kId] = value;
      return false;
    case kXRes:
    case kYRes:
    case kBpp:
      if (enabled()) {
        guest_error(LogCategory::kVideo, "dispi register {} written while a mode is on", index);
        return false;
      }
      registers_[index] = value;
      return false;
    case kEnable: {
      const bool switched_on = (value & kEnabled) != 0 && !enabled();
      registers_[kEnable] = value;
      if (!switched_on) return false;
      registers_[kVirtualWidth] = 0;
      registers_[kXOffset] = 0;
      registers_[kYOffset] = 0;
      constrain();
      trace(LogCategory::kVideo, "VBE mode {}x{}x{}", width(), height(), bits_per_pixel());
      return (value & kNoClear) == 0;
    }
    case kBank:
      registers_[kBank] = static_cast<uint16_t>(value % (vram_bytes_ >> 16));
      return false;
    case kVirtualWidth:
    case kXOffset:
    case kYOffset:
      registers_[index] = value;
      constrain();
      return false;
    case kVirtualHeight:
    case kVideoMemory64K:
      return false;
    default:
      guest_error(LogCategory::kVideo, "write of {:#x} to dispi register {}", value, index);
      return false;
  }
}

/// Brings what the guest asked for into what memory can show.
void VbeDispi::constrain() {
  if (!enabled()) return;
  uint16_t& bpp = registers_[kBpp];
  if (bpp == 0) bpp = 8;
  if (bpp != 4 && bpp != 8 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32) bpp = 32;
  uint16_t& width = registers_[kXRes];
  width = std::clamp<uint16_t>(static_cast<uint16_t>(width & ~7u), 8, kMaxWidth);
  uint16_t& virtual_width = registers_[kVirtualWidth];
  virtual_width = std::clamp<uint16_t>(static_cast<uint16_t>(virtual_width & ~7u), width, 0x4000);
  // Planar modes spend four bytes of memory on each byte of a plane.
  const uint32_t line_bytes = pitch() * (bpp == 4 ? 4 : 1);
  const uint32_t lines_in_memory = vram_bytes_ / line_bytes;
  uint16_t& height = registers_[kYRes];
  height =
      static_cast<uint16_t>(std::clamp<uint32_t>(height, 1, std::min<uint32_t>(kMaxHeight, lines_in_memory)));
  registers_[kVirtualHeight] = static_cast<uint16_t>(std::min<uint32_t>(lines_in_memory, 0xffff));
  registers_[kXOffset] =
      std::min<uint16_t>(registers_[kXOffset], static_cast<uint16_t>(virtual_width - width));
  registers_[kYOffset] =
      static_cast<uint16_t>(std::min<uint32_t>(registers_[kYOffset], lines_in_memory - height));
}

void VbeDispi::state(StateArchive& ar) {
  ar.field("selected", selected);
  ar.field("registers", registers_);
  if (ar.loading()) constrain();
}

}  // namespace vireo
