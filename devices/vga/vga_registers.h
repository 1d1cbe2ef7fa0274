// The VGA's register file, and what its fields mean together: geometry, addressing, raster timing.
// Source: IBM VGA XGA Technical Reference (1992), chapter 2; names of registers as there.
#pragma once

#include <array>
#include <cstdint>

#include "core/state_archive.h"
#include "core/types.h"

namespace vireo {

struct VgaRegisters {
  uint8_t misc = 0;  ///< miscellaneous output
  uint8_t feature_control = 0;
  uint8_t subsystem_enable = 1;  ///< port 3c3h

  uint8_t sequencer_index = 0;
  std::array<uint8_t, 5> sequencer{};
  uint8_t crtc_index = 0;
  std::array<uint8_t, 25> crtc{};
  uint8_t graphics_index = 0;
  std::array<uint8_t, 9> graphics{};
  uint8_t attribute_index = 0;  ///< bits 0-4 index, bit 5 palette address source (0: screen blank)
  bool attribute_data_next = false;
  std::array<uint8_t, 21> attribute{};

  uint8_t dac_mask = 0xff;
  bool dac_reading = false;  ///< what port 3c7h tells
  uint8_t dac_index = 0;
  uint8_t dac_component = 0;             ///< 0 red, 1 green, 2 blue
  std::array<uint8_t, 2> dac_pending{};  ///< red and green, until blue is written
  std::array<std::array<uint8_t, 3>, 256>
      dac{};  ///< as written: 6 bits a component, or 8 in the adapter's 8-bit mode

  bool color_addressing() const { return (misc & 1) != 0; }
  bool ram_enabled() const { return (misc & 2) != 0; }
  bool chain4() const { return (sequencer[4] & 8) != 0; }
  bool graphics_mode() const { return (graphics[6] & 1) != 0; }
  bool display_on() const {
    return (attribute_index & 0x20) != 0 && (sequencer[1] & 0x20) == 0 && (crtc[0x17] & 0x80) != 0;
  }

  void state(StateArchive& ar);
};

/// What the CRT controller scans out; lengths in characters, dots or scan lines, addresses in address-counter
/// units.
struct CrtcGeometry {
  explicit CrtcGeometry(const VgaRegisters& registers);

  unsigned columns;       ///< characters displayed per row
  unsigned lines;         ///< scan lines displayed
  unsigned row_height;    ///< scan lines per character row, before double scan
  bool double_scan;       ///< every scan line is shown twice
  unsigned char_dots;     ///< 8 or 9
  bool dot_clock_halved;  ///< 40-column text, 320-dot planar modes
  unsigned start;         ///< of the first row
  unsigned pitch;         ///< from row to row
  unsigned line_compare;  ///< after this scan line the address starts again at 0
  unsigned preset_row_scan;
  unsigned cursor;  ///< character address of the cursor

  unsigned text_rows() const { return lines / (row_height * (double_scan ? 2 : 1)); }
};

/// Offset within a plane that the CRT controller fetches from for `counter` in scan line `row_scan` of a row:
/// byte, word and doubleword mode, and the row-scan substitution of the CGA and Hercules layouts.
uint32_t crtc_memory_address(const VgaRegisters& registers, uint32_t counter, unsigned row_scan);

/// Where the beam is.
struct BeamPosition {
  bool display_disabled;  ///< in horizontal or vertical blanking
  bool vertical_retrace;
};
BeamPosition beam_position(const VgaRegisters& registers, VirtualNs now);

}  // namespace vireo
