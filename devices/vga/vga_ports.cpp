// Port registers of the VGA (IBM VGA XGA Technical Reference, chapter 2) and the dispi ports.
#include <algorithm>

#include "core/log.h"
#include "devices/vga/vga.h"

namespace vireo {

namespace {

constexpr std::array<uint8_t, 5> kSequencerMask = {0x03, 0x3d, 0x0f, 0x3f, 0x0e};
constexpr std::array<uint8_t, 9> kGraphicsMask = {0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff};
constexpr std::array<uint8_t, 5> kAttributeMask = {0xef, 0xff, 0x3f, 0x0f, 0x0f};  // registers 10h to 14h

/// The CRT controller and its neighbours answer either at 3bxh or at 3dxh.
bool moved_away(const VgaRegisters& registers, uint32_t port) {
  return (port >> 4) == (registers.color_addressing() ? 0x3bu : 0x3du);
}

}  // namespace

uint64_t Vga::read_ports(uint32_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= uint64_t{read_port(kPortBase + offset + i)} << (8 * i);
  return value;
}

void Vga::write_ports(uint32_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size; ++i)
    write_port(kPortBase + offset + i, static_cast<uint8_t>(value >> (8 * i)));
}

uint8_t Vga::read_port(uint32_t port) {
  VgaRegisters& r = registers_;
  if (moved_away(r, port)) return 0xff;
  switch (port) {
    case 0x3b4:
    case 0x3d4:
      return r.crtc_index;
    case 0x3b5:
    case 0x3d5:
      return read_crtc();
    case 0x3ba:
    case 0x3da: {
      r.attribute_data_next = false;
      const BeamPosition beam = beam_position(r, clock_.now());
      return static_cast<uint8_t>((beam.display_disabled ? 1 : 0) | (beam.vertical_retrace ? 8 : 0));
    }
    case 0x3c0:
      return r.attribute_index;
    case 0x3c1: {
      const unsigned index = r.attribute_index & 0x1f;
      return index < r.attribute.size() ? r.attribute[index] : 0;
    }
    case 0x3c2:
      return 0x10;  // switch sense: a colour display is attached
    case 0x3c3:
      return r.subsystem_enable;
    case 0x3c4:
      return r.sequencer_index;
    case 0x3c5:
      return r.sequencer_index < r.sequencer.size() ? r.sequencer[r.sequencer_index] : 0;
    case 0x3c6:
      return r.dac_mask;
    case 0x3c7:
      return r.dac_reading ? 3 : 0;
    case 0x3c8:
      return r.dac_index;
    case 0x3c9:
      return read_dac();
    case 0x3ca:
      return r.feature_control;
    case 0x3cc:
      return r.misc;
    case 0x3ce:
      return r.graphics_index;
    case 0x3cf:
      return r.graphics_index < r.graphics.size() ? r.graphics[r.graphics_index] : 0;
    default:
      return 0xff;
  }
}

void Vga::write_port(uint32_t port, uint8_t value) {
  VgaRegisters& r = registers_;
  if (moved_away(r, port)) return;
  switch (port) {
    case 0x3b4:
    case 0x3d4:
      r.crtc_index = value;
      return;
    case 0x3b5:
    case 0x3d5:
      write_crtc(value);
      return;
    case 0x3ba:
    case 0x3da:
      r.feature_control = value;
      return;
    case 0x3c0:
      write_attribute(value);
      return;
    case 0x3c2:
      r.misc = value;
      return;
    case 0x3c3:
      r.subsystem_enable = value & 1;
      return;
    case 0x3c4:
      r.sequencer_index = value;
      return;
    case 0x3c5:
      if (r.sequencer_index < r.sequencer.size()) {
        r.sequencer[r.sequencer_index] = value & kSequencerMask[r.sequencer_index];
      }
      return;
    case 0x3c6:
      r.dac_mask = value;
      return;
    case 0x3c7:
      r.dac_index = value;
      r.dac_component = 0;
      r.dac_reading = true;
      return;
    case 0x3c8:
      r.dac_index = value;
      r.dac_component = 0;
      r.dac_reading = false;
      return;
    case 0x3c9:
      write_dac(value);
      return;
    case 0x3ce:
      r.graphics_index = value;
      return;
    case 0x3cf:
      if (r.graphics_index < r.graphics.size()) {
        r.graphics[r.graphics_index] = value & kGraphicsMask[r.graphics_index];
      }
      return;
    default:
      return;
  }
}

uint8_t Vga::read_crtc() const {
  const VgaRegisters& r = registers_;
  if (r.crtc_index < r.crtc.size()) return r.crtc[r.crtc_index];
  // Not in the reference, but on IBM's chip and its clones, and probed for: latches and attribute flip-flop.
  if (r.crtc_index == 0x22) return static_cast<uint8_t>(latches_ >> (8 * (r.graphics[4] & 3)));
  if (r.crtc_index == 0x24) return r.attribute_data_next ? 0x80 : 0;
  return 0;
}

void Vga::write_crtc(uint8_t value) {
  VgaRegisters& r = registers_;
  if (r.crtc_index >= r.crtc.size()) return;
  const bool protected_0_to_7 = (r.crtc[0x11] & 0x80) != 0;
  uint8_t& target = r.crtc[r.crtc_index];
  if (protected_0_to_7 && r.crtc_index <= 7) {
    // Line compare bit 8 stays writable.
    if (r.crtc_index == 7) target = static_cast<uint8_t>((target & ~0x10) | (value & 0x10));
    return;
  }
  target = value;
}

void Vga::write_attribute(uint8_t value) {
  VgaRegisters& r = registers_;
  if (!r.attribute_data_next) {
    r.attribute_index = value & 0x3f;
  } else {
    const unsigned index = r.attribute_index & 0x1f;
    if (index < 0x10) {
      // The palette belongs to the display while the palette address source is set.
      if ((r.attribute_index & 0x20) == 0) r.attribute[index] = value & 0x3f;
    } else if (index < r.attribute.size()) {
      r.attribute[index] = value & kAttributeMask[index - 0x10];
    }
  }
  r.attribute_data_next = !r.attribute_data_next;
}

uint8_t Vga::read_dac() {
  VgaRegisters& r = registers_;
  const uint8_t value = r.dac[r.dac_index][r.dac_component];
  if (++r.dac_component == 3) {
    r.dac_component = 0;
    ++r.dac_index;
  }
  return value;
}

void Vga::write_dac(uint8_t value) {
  VgaRegisters& r = registers_;
  if (!dispi_.dac_8_bit()) value &= 0x3f;
  if (r.dac_component < 2) {
    r.dac_pending[r.dac_component++] = value;
    return;
  }
  r.dac[r.dac_index] = {r.dac_pending[0], r.dac_pending[1], value};
  r.dac_component = 0;
  ++r.dac_index;
}

// The index register is a word at offset 0, the data register a word at offset 1 and, aligned, again at
// offset 2.
uint64_t Vga::read_dispi(uint32_t offset, unsigned size) {
  if (size != 2) return ~uint64_t{0};
  return offset == 0 ? dispi_.selected : dispi_.read(dispi_.selected);
}

void Vga::write_dispi(uint32_t offset, unsigned size, uint64_t value) {
  if (size != 2) {
    guest_error(LogCategory::kVideo, "dispi access of {} bytes", size);
    return;
  }
  if (offset == 0) {
    dispi_.selected = static_cast<uint16_t>(value);
  } else if (dispi_.write(dispi_.selected, static_cast<uint16_t>(value))) {
    vram_.clear();
  }
}

}  // namespace vireo
