// Pictures: the VGA's own modes as its CRT controller scans them, and the linear VBE modes.
#include <algorithm>
#include <cstring>

#include "devices/vga/vga.h"
#include "devices/vga/vga_scan.h"

namespace vireo {

namespace {

uint32_t expand_6_bits(uint32_t component) {
  return component << 2 | component >> 4;
}

/// A 5:5:5 or 5:6:5 pixel; `green_bits` is 5 or 6.
uint32_t expand_high_color(uint32_t pixel, unsigned green_bits) {
  const uint32_t blue = pixel & 0x1f;
  const uint32_t green = (pixel >> 5) & ((1u << green_bits) - 1);
  const uint32_t red = (pixel >> (5 + green_bits)) & 0x1f;
  const uint32_t green_8 = green_bits == 6 ? expand_6_bits(green) : green << 3 | green >> 2;
  return (red << 3 | red >> 2) << 16 | green_8 << 8 | (blue << 3 | blue >> 2);
}

/// The four bits, one per plane, of dot `dot` (0 is leftmost) in a fetch.
uint8_t planar_pixel(uint32_t planes, unsigned dot) {
  const uint32_t bits = planes >> (7 - dot);
  return static_cast<uint8_t>((bits & 1) | ((bits >> 7) & 2) | ((bits >> 14) & 4) | ((bits >> 21) & 8));
}

/// In the CGA shift mode even dots' pixels come from planes 0 and 2, four in the low planes, then four in the
/// high.
uint8_t interleaved_pixel(uint32_t planes, unsigned pixel) {
  const unsigned plane = pixel < 4 ? 0 : 1;
  const unsigned shift = 6 - 2 * (pixel & 3);
  const uint32_t low = (planes >> (8 * plane + shift)) & 3;
  const uint32_t high = (planes >> (8 * (plane + 2) + shift)) & 3;
  return static_cast<uint8_t>(low | high << 2);
}

/// With nine-dot characters the register counts from 8 (no panning), then 0 (one dot) to 7 (eight).
unsigned panning_dots(const VgaRegisters& registers, const CrtcGeometry& geometry) {
  const unsigned value = registers.attribute[0x13];
  if (geometry.char_dots == 8) return value & 7;
  return value >= 8 ? 0 : value + 1;
}

}  // namespace

std::array<uint32_t, 256> Vga::dac_colors() const {
  std::array<uint32_t, 256> colors;
  for (unsigned i = 0; i < 256; ++i) {
    uint32_t color = 0;
    for (const uint8_t component : registers_.dac[i & registers_.dac_mask]) {
      color = color << 8 | (dispi_.dac_8_bit() ? component : expand_6_bits(component & 0x3fu));
    }
    colors[i] = color;
  }
  return colors;
}

uint8_t Vga::palette_index(uint8_t pixel) const {
  const auto& attribute = registers_.attribute;
  uint8_t index = attribute[pixel & attribute[0x12] & 0xf];
  if ((attribute[0x10] & 0x80) != 0) {
    index = static_cast<uint8_t>((index & 0x0f) | (attribute[0x14] & 3) << 4);
  }
  return static_cast<uint8_t>((index & 0x3f) | (attribute[0x14] & 0x0c) << 4);
}

Frame Vga::render() const {
  if (!dispi_.enabled()) return render_crtc();
  return dispi_.bits_per_pixel() == 4 ? render_planar_vbe() : render_linear();
}

Frame Vga::render_crtc() const {
  const VgaRegisters& r = registers_;
  const CrtcGeometry geometry(r);
  const unsigned dots_shown = geometry.columns * geometry.char_dots;
  const unsigned widen = geometry.dot_clock_halved ? 2 : 1;
  Frame frame{dots_shown * widen, geometry.lines, {}};
  frame.pixels.resize(size_t{frame.width} * frame.height);
  if (!r.display_on()) return frame;

  const std::array<uint32_t, 256> colors = dac_colors();
  unsigned pan = panning_dots(r, geometry);

  std::vector<uint8_t> dots(dots_shown + geometry.char_dots);
  unsigned row_address = geometry.start;
  unsigned row_scan = geometry.preset_row_scan;
  for (unsigned line = 0; line < geometry.lines; ++line) {
    const ScanLine scan_line{geometry, row_address, row_scan};
    if (r.graphics_mode()) {
      draw_graphics_line(scan_line, dots);
    } else {
      draw_text_line(scan_line, dots);
    }
    uint32_t* out = &frame.pixels[size_t{line} * frame.width];
    for (unsigned dot = 0; dot < dots_shown; ++dot) {
      const uint32_t color = colors[dots[pan + dot]];
      for (unsigned i = 0; i < widen; ++i) *out++ = color;
    }

    if (!geometry.double_scan || (line & 1) != 0) {
      if (row_scan >= geometry.row_height - 1) {
        row_scan = 0;
        row_address += geometry.pitch;
      } else {
        ++row_scan;
      }
    }
    if (line == geometry.line_compare) {
      row_address = 0;
      row_scan = 0;
      if ((r.attribute[0x10] & 0x20) != 0) pan = 0;
    }
  }
  return frame;
}

void Vga::draw_graphics_line(const ScanLine& line, std::vector<uint8_t>& dots) const {
  const VgaRegisters& r = registers_;
  const bool shift_256 = (r.graphics[5] & 0x40) != 0;
  const bool shift_interleaved = (r.graphics[5] & 0x20) != 0;
  const unsigned count_shift = (r.crtc[0x14] & 0x20) != 0 ? 2 : (r.crtc[0x17] & 8) != 0 ? 1 : 0;
  std::array<uint8_t, 16> palette;
  for (uint8_t i = 0; i < 16; ++i) palette[i] = palette_index(i);

  size_t dot = 0;
  for (unsigned column = 0; column <= line.geometry.columns; ++column) {
    const uint32_t counter = line.row_address + (column >> count_shift);
    const uint32_t fetched = planes(crtc_memory_address(r, counter, line.row_scan));
    for (unsigned i = 0; i < line.geometry.char_dots; ++i) {
      const unsigned in_fetch = std::min(i, 7u);
      if (shift_256) {
        dots[dot++] = static_cast<uint8_t>(fetched >> (8 * (in_fetch / 2)));
      } else if (shift_interleaved) {
        dots[dot++] = palette[interleaved_pixel(fetched, in_fetch)];
      } else {
        dots[dot++] = palette[planar_pixel(fetched, in_fetch)];
      }
    }
  }
}

Frame Vga::render_planar_vbe() const {
  Frame frame{dispi_.width(), dispi_.height(), {}};
  frame.pixels.reserve(size_t{frame.width} * frame.height);
  const std::array<uint32_t, 256> colors = dac_colors();
  for (unsigned y = 0; y < frame.height; ++y) {
    const uint32_t row = dispi_.start() + y * dispi_.pitch();
    for (unsigned x = 0; x < frame.width; ++x) {
      frame.pixels.push_back(colors[palette_index(planar_pixel(planes(row + x / 8), x % 8))]);
    }
  }
  return frame;
}

Frame Vga::render_linear() const {
  Frame frame{dispi_.width(), dispi_.height(), {}};
  frame.pixels.reserve(size_t{frame.width} * frame.height);
  const unsigned bpp = dispi_.bits_per_pixel();
  const unsigned pixel_bytes = (bpp + 7) / 8;
  const std::array<uint32_t, 256> colors = dac_colors();
  for (unsigned y = 0; y < frame.height; ++y) {
    const uint8_t* pixel_at = &vram_[dispi_.start() + size_t{y} * dispi_.pitch()];
    for (unsigned x = 0; x < frame.width; ++x, pixel_at += pixel_bytes) {
      uint32_t pixel = 0;
      std::memcpy(&pixel, pixel_at, pixel_bytes);
      if (bpp == 8) {
        pixel = colors[pixel];
      } else if (bpp < 24) {
        pixel = expand_high_color(pixel, bpp == 16 ? 6 : 5);
      }
      frame.pixels.push_back(pixel & 0xffffff);
    }
  }
  return frame;
}

}  // namespace vireo
