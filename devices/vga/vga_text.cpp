// Text modes: what a reader of the screen sees, and its dots with the guest's own font.
#include "devices/vga/vga.h"
#include "devices/vga/vga_scan.h"

namespace vireo {

namespace {

/// Where in plane 2 the font that `select` (0 to 7) names begins; the maps are not in the order of their
/// numbers.
uint32_t font_offset(unsigned select) {
  return (select & 3) * 0x4000 + (select >> 2) * 0x2000;
}

}  // namespace

TextScreen Vga::text_screen() const {
  TextScreen screen;
  if (dispi_.enabled() || registers_.graphics_mode() || !registers_.display_on()) return screen;
  const CrtcGeometry geometry(registers_);
  screen.columns = geometry.columns;
  screen.rows = geometry.text_rows();
  screen.cells.reserve(size_t{screen.columns} * screen.rows);
  for (unsigned row = 0; row < screen.rows; ++row) {
    for (unsigned column = 0; column < screen.columns; ++column) {
      const uint32_t counter = geometry.start + row * geometry.pitch + column;
      if (counter == geometry.cursor) {
        screen.cursor_column = column;
        screen.cursor_row = row;
      }
      const uint32_t cell = planes(crtc_memory_address(registers_, counter, 0));
      screen.cells.push_back({static_cast<uint8_t>(cell), static_cast<uint8_t>(cell >> 8)});
    }
  }
  return screen;
}

bool Vga::blink_visible(unsigned period_frames) const {
  constexpr VirtualNs kFrameNs = kNsPerSecond / 70;
  return clock_.now() / kFrameNs % period_frames < period_frames / 2;
}

void Vga::draw_text_line(const ScanLine& line, std::vector<uint8_t>& dots) const {
  const VgaRegisters& r = registers_;
  const CrtcGeometry& geometry = line.geometry;
  const bool blink_enabled = (r.attribute[0x10] & 8) != 0;
  const bool characters_visible = blink_visible(32);
  const uint8_t map_select = r.sequencer[3];
  const uint32_t fonts[2] = {
      font_offset((map_select & 3) | ((map_select >> 2) & 4)),         // map B: attribute bit 3 clear
      font_offset(((map_select >> 2) & 3) | ((map_select >> 3) & 4)),  // map A: attribute bit 3 set
  };
  const bool cursor_line = (r.crtc[0x0a] & 0x20) == 0 && line.row_scan >= (r.crtc[0x0a] & 0x1fu) &&
                           line.row_scan <= (r.crtc[0x0b] & 0x1fu) && blink_visible(16);
  const bool underline = line.row_scan == (r.crtc[0x14] & 0x1fu);

  size_t dot = 0;
  // One more character than fits: panning moves a part of it into view.
  for (unsigned column = 0; column <= geometry.columns; ++column) {
    const uint32_t counter = line.row_address + column;
    const uint32_t cell = planes(crtc_memory_address(r, counter, line.row_scan));
    const auto character = static_cast<uint8_t>(cell);
    const auto attribute = static_cast<uint8_t>(cell >> 8);
    const uint32_t glyph_row = planes(fonts[(attribute >> 3) & 1] + character * 32u + line.row_scan);
    unsigned bits = ((glyph_row >> 16) & 0xff) << 1;
    const bool line_graphics = (r.attribute[0x10] & 4) != 0 && character >= 0xc0 && character <= 0xdf;
    if (line_graphics) bits |= (bits >> 1) & 1;
    uint8_t foreground = attribute & 0xf;
    uint8_t background = attribute >> 4;
    if (blink_enabled) {
      if ((background & 8) != 0 && !characters_visible) bits = 0;
      background &= 7;
    }
    if (underline && (attribute & 7) == 1 && (r.attribute[0x10] & 2) != 0) bits = 0x1ff;
    if (cursor_line && counter == geometry.cursor) bits = 0x1ff;
    foreground = palette_index(foreground);
    background = palette_index(background);
    for (unsigned i = 0; i < geometry.char_dots; ++i) {
      dots[dot++] = ((bits >> (8 - i)) & 1) != 0 ? foreground : background;
    }
  }
}

}  // namespace vireo
