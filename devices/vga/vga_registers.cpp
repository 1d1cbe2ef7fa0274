#include "devices/vga/vga_registers.h"

#include <algorithm>

#include "core/clock.h"

namespace vireo {

namespace {

/// Bit `bit` of the overflow register, moved to `position`.
unsigned overflow_bit(const VgaRegisters& r, unsigned bit, unsigned position) {
  return ((r.crtc[7] >> bit) & 1u) << position;
}

unsigned vertical_display_end(const VgaRegisters& r) {
  return r.crtc[0x12] | overflow_bit(r, 1, 8) | overflow_bit(r, 6, 9);
}

}  // namespace

void VgaRegisters::state(StateArchive& ar) {
  ar.field("misc", misc);
  ar.field("feature_control", feature_control);
  ar.field("subsystem_enable", subsystem_enable);
  ar.field("sequencer_index", sequencer_index);
  ar.field("sequencer", sequencer);
  ar.field("crtc_index", crtc_index);
  ar.field("crtc", crtc);
  ar.field("graphics_index", graphics_index);
  ar.field("graphics", graphics);
  ar.field("attribute_index", attribute_index);
  ar.field("attribute_data_next", attribute_data_next);
  ar.field("attribute", attribute);
  ar.field("dac_mask", dac_mask);
  ar.field("dac_reading", dac_reading);
  ar.field("dac_index", dac_index);
  ar.field("dac_component", dac_component);
  ar.field("dac_pending", dac_pending);
  ar.field("dac", dac);
}

CrtcGeometry::CrtcGeometry(const VgaRegisters& r)
    : columns(r.crtc[1] + 1u),
      lines(vertical_display_end(r) + 1),
      row_height((r.crtc[9] & 0x1fu) + 1),
      double_scan((r.crtc[9] & 0x80) != 0),
      char_dots((r.sequencer[1] & 1) != 0 ? 8 : 9),
      dot_clock_halved((r.sequencer[1] & 8) != 0),
      start(r.crtc[0x0c] << 8 | r.crtc[0x0d]),
      pitch(r.crtc[0x13] * 2u),
      line_compare(r.crtc[0x18] | overflow_bit(r, 4, 8) | (r.crtc[9] & 0x40u) << 3),
      preset_row_scan(r.crtc[8] & 0x1fu),
      cursor(r.crtc[0x0e] << 8 | r.crtc[0x0f]) {
  start += (r.crtc[8] >> 5) & 3;  // byte panning
}

uint32_t crtc_memory_address(const VgaRegisters& r, uint32_t counter, unsigned row_scan) {
  const uint8_t mode = r.crtc[0x17];
  uint32_t address;
  if ((r.crtc[0x14] & 0x40) != 0) {
    address = counter << 2 | ((counter >> 14) & 3);
  } else if ((mode & 0x40) != 0) {
    address = counter;
  } else {
    const unsigned wrapped_bit = (mode & 0x20) != 0 ? 15 : 13;
    address = counter << 1 | ((counter >> wrapped_bit) & 1);
  }
  if ((mode & 1) == 0) address = (address & ~0x2000u) | (row_scan & 1) << 13;
  if ((mode & 2) == 0) address = (address & ~0x4000u) | (row_scan & 2) << 13;
  return address & 0xffff;
}

BeamPosition beam_position(const VgaRegisters& r, VirtualNs now) {
  const CrtcGeometry geometry(r);
  const unsigned clock_hz =
      ((r.misc & 0x0c) == 4 ? 28'322'000u : 25'175'000u) / (geometry.dot_clock_halved ? 2 : 1);
  const unsigned total_columns = std::max(r.crtc[0] + 5u, geometry.columns + 1);
  const unsigned total_lines =
      std::max((r.crtc[6] | overflow_bit(r, 0, 8) | overflow_bit(r, 5, 9)) + 2, geometry.lines + 1);
  const unsigned line_dots = total_columns * geometry.char_dots;
  const uint64_t dot =
      muldiv64(static_cast<uint64_t>(now), clock_hz, kNsPerSecond) % (uint64_t{line_dots} * total_lines);
  const auto line = static_cast<unsigned>(dot / line_dots);
  const auto column = static_cast<unsigned>(dot % line_dots) / geometry.char_dots;

  const unsigned programmed_start = r.crtc[0x10] | overflow_bit(r, 2, 8) | overflow_bit(r, 7, 9);
  const unsigned retrace_start = std::min(programmed_start, total_lines - 1);
  unsigned retrace_length = (r.crtc[0x11] - retrace_start) & 0xf;
  if (retrace_length == 0) retrace_length = 16;
  return {.display_disabled = line >= geometry.lines || column >= geometry.columns,
          .vertical_retrace = line >= retrace_start && line - retrace_start < retrace_length};
}

}  // namespace vireo
