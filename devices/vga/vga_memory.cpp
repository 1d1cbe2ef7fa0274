// The legacy memory window: planes, latches, write modes 0 to 3, read modes 0 and 1 (IBM VGA XGA Technical
// Reference, chapter 2, "Graphics controller"); and the linear framebuffer.
#include <cstring>

#include "devices/vga/vga.h"

namespace vireo {

namespace {

/// Four plane bits to four bytes of all ones or zeros.
constexpr std::array<uint32_t, 16> kExpand = [] {
  std::array<uint32_t, 16> table{};
  for (unsigned i = 0; i < 16; ++i) {
    for (unsigned plane = 0; plane < 4; ++plane) {
      if ((i >> plane) & 1) table[i] |= 0xffu << (8 * plane);
    }
  }
  return table;
}();

constexpr uint32_t replicate(uint8_t value) {
  return value * 0x01010101u;
}

constexpr uint8_t rotate_right(uint8_t value, unsigned count) {
  return static_cast<uint8_t>(value >> count | value << (8 - count));
}

}  // namespace

bool Vga::decode_window(uint32_t& offset) const {
  if (!registers_.ram_enabled()) return false;
  switch ((registers_.graphics[6] >> 2) & 3) {
    case 0:
      return true;
    case 1:
      return offset < 0x10000;
    case 2:
      offset -= 0x10000;
      return offset < 0x8000;
    default:
      offset -= 0x18000;
      return offset < 0x8000;
  }
}

/// Bytes of one plane that addresses wrap in: a VGA's 64 KiB, or all memory in a planar VBE mode.
uint32_t Vga::plane_bytes() const {
  return dispi_.enabled() ? kVramBytes / 4 : 0x10000;
}

uint32_t Vga::planes(uint32_t offset) const {
  uint32_t value;
  std::memcpy(&value, &vram_[size_t{offset & (plane_bytes() - 1)} * 4], sizeof value);
  return value;
}

void Vga::set_planes(uint32_t offset, uint32_t value) {
  std::memcpy(&vram_[size_t{offset & (plane_bytes() - 1)} * 4], &value, sizeof value);
}

uint64_t Vga::read_window(uint32_t offset, unsigned size) {
  if (dispi_.enabled() && dispi_.bits_per_pixel() != 4) {
    return offset < 0x10000 ? read_linear(dispi_.bank_offset() + offset, size) : ~uint64_t{0};
  }
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    uint32_t at = offset + i;
    const uint8_t byte = decode_window(at) ? read_planar(at) : 0xff;
    value |= uint64_t{byte} << (8 * i);
  }
  return value;
}

void Vga::write_window(uint32_t offset, unsigned size, uint64_t value) {
  if (dispi_.enabled() && dispi_.bits_per_pixel() != 4) {
    if (offset < 0x10000) write_linear(dispi_.bank_offset() + offset, size, value);
    return;
  }
  for (unsigned i = 0; i < size; ++i) {
    uint32_t at = offset + i;
    if (decode_window(at)) write_planar(at, static_cast<uint8_t>(value >> (8 * i)));
  }
}

uint8_t Vga::read_planar(uint32_t offset) {
  const auto& g = registers_.graphics;
  unsigned plane = g[4];
  if (dispi_.enabled()) offset += dispi_.bank_offset();
  if (registers_.chain4()) {
    plane = offset & 3;
    offset &= ~3u;
  } else if ((g[5] & 0x10) != 0) {  // odd/even
    plane = (plane & 2) | (offset & 1);
    offset &= ~1u;
  }
  latches_ = planes(offset);
  if ((g[5] & 8) == 0) return static_cast<uint8_t>(latches_ >> (8 * plane));
  const uint32_t differs = (latches_ ^ kExpand[g[2]]) & kExpand[g[7]];
  return static_cast<uint8_t>(~(differs | differs >> 8 | differs >> 16 | differs >> 24));
}

void Vga::write_planar(uint32_t offset, uint8_t value) {
  const auto& g = registers_.graphics;
  unsigned plane_mask = registers_.sequencer[2];
  if (dispi_.enabled()) offset += dispi_.bank_offset();
  if (registers_.chain4()) {
    plane_mask &= 1u << (offset & 3);
    offset &= ~3u;
  } else if ((registers_.sequencer[4] & 4) == 0) {  // odd/even
    plane_mask &= (offset & 1) != 0 ? 0xa : 0x5;
    offset &= ~1u;
  }
  if (plane_mask == 0) return;

  const unsigned rotate_count = g[3] & 7;
  uint8_t bit_mask = g[8];
  uint32_t data;
  switch (g[5] & 3) {
    case 0:
      data = replicate(rotate_right(value, rotate_count));
      data = (data & ~kExpand[g[1]]) | (kExpand[g[0]] & kExpand[g[1]]);
      break;
    case 1:
      data = latches_;
      break;
    case 2:
      data = kExpand[value & 0xf];
      break;
    default:
      bit_mask &= rotate_right(value, rotate_count);
      data = kExpand[g[0]];
      break;
  }
  if ((g[5] & 3) != 1) {
    switch (g[3] >> 3) {
      case 1:
        data &= latches_;
        break;
      case 2:
        data |= latches_;
        break;
      case 3:
        data ^= latches_;
        break;
      default:
        break;
    }
    const uint32_t changed_bits = replicate(bit_mask);
    data = (data & changed_bits) | (latches_ & ~changed_bits);
  }
  const uint32_t changed_planes = kExpand[plane_mask];
  set_planes(offset, (planes(offset) & ~changed_planes) | (data & changed_planes));
}

uint64_t Vga::read_linear(uint32_t offset, unsigned size) {
  if (offset > kVramBytes - size) return ~uint64_t{0};  // an access across the end of the last bank
  uint64_t value = 0;
  std::memcpy(&value, &vram_[offset], size);
  return value;
}

void Vga::write_linear(uint32_t offset, unsigned size, uint64_t value) {
  if (offset > kVramBytes - size) return;
  std::memcpy(&vram_[offset], &value, size);
}

}  // namespace vireo
