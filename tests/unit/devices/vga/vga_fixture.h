// A VGA on the test bench: port accesses by the numbers that guests use, and the register values of BIOS
// modes.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "core/clock.h"
#include "devices/vga/vga.h"

namespace vireo {

/// Register values of a mode, in the order in which a VGA BIOS writes them.
struct VgaModeValues {
  uint8_t misc;
  std::array<uint8_t, 5> sequencer;
  std::array<uint8_t, 25> crtc;
  std::array<uint8_t, 9> graphics;
  std::array<uint8_t, 21> attribute;
};

inline constexpr VgaModeValues kMode3 = {
    0x67,
    {0x03, 0x00, 0x03, 0x00, 0x02},
    {0x5f, 0x4f, 0x50, 0x82, 0x55, 0x81, 0xbf, 0x1f, 0x00, 0x4f, 0x0d, 0x0e, 0x00,
     0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x1f, 0x96, 0xb9, 0xa3, 0xff},
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0e, 0x0f, 0xff},
    {0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f, 0x0c, 0, 0x0f, 8, 0},
};

inline constexpr VgaModeValues kMode12 = {
    0xe3,
    {0x03, 0x01, 0x0f, 0x00, 0x06},
    {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0x0b, 0x3e, 0x00, 0x40, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0xea, 0x8c, 0xdf, 0x28, 0x00, 0xe7, 0x04, 0xe3, 0xff},
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x0f, 0xff},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x01, 0, 0x0f, 0, 0},
};

inline constexpr VgaModeValues kMode13 = {
    0x63,
    {0x03, 0x01, 0x0f, 0x00, 0x0e},
    {0x5f, 0x4f, 0x50, 0x82, 0x54, 0x80, 0xbf, 0x1f, 0x00, 0x41, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0x9c, 0x8e, 0x8f, 0x28, 0x40, 0x96, 0xb9, 0xa3, 0xff},
    {0x00, 0x00, 0x00, 0x00, 0x00, 0x40, 0x05, 0x0f, 0xff},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0, 0x0f, 0, 0},
};

class VgaTest : public testing::Test {
 protected:
  void out(uint16_t port, uint8_t value) { vga.ports().write(port - Vga::kPortBase, 1, value); }
  uint8_t in(uint16_t port) { return static_cast<uint8_t>(vga.ports().read(port - Vga::kPortBase, 1)); }
  void set(uint16_t index_port, uint8_t index, uint8_t value) {
    out(index_port, index);
    out(static_cast<uint16_t>(index_port + 1), value);
  }
  uint8_t get(uint16_t index_port, uint8_t index) {
    out(index_port, index);
    return in(static_cast<uint16_t>(index_port + 1));
  }
  void set_sequencer(uint8_t index, uint8_t value) { set(0x3c4, index, value); }
  void set_graphics(uint8_t index, uint8_t value) { set(0x3ce, index, value); }
  void set_crtc(uint8_t index, uint8_t value) { set(0x3d4, index, value); }
  void set_attribute(uint8_t index, uint8_t value) {
    in(0x3da);
    out(0x3c0, index);
    out(0x3c0, value);
    out(0x3c0, 0x20);
  }
  void set_dac(uint8_t index, uint8_t red, uint8_t green, uint8_t blue) {
    out(0x3c8, index);
    for (const uint8_t component : {red, green, blue}) out(0x3c9, component);
  }
  void set_mode(const VgaModeValues& mode) {
    out(0x3c2, mode.misc);
    for (uint8_t i = 0; i < mode.sequencer.size(); ++i) set_sequencer(i, mode.sequencer[i]);
    set_crtc(0x11, 0);
    for (uint8_t i = 0; i < mode.crtc.size(); ++i) set_crtc(i, mode.crtc[i]);
    for (uint8_t i = 0; i < mode.graphics.size(); ++i) set_graphics(i, mode.graphics[i]);
    for (uint8_t i = 0; i < mode.attribute.size(); ++i) set_attribute(i, mode.attribute[i]);
  }
  void poke(uint32_t address, uint8_t value) { vga.window().write(address - 0xa0000, 1, value); }
  uint8_t peek(uint32_t address) { return static_cast<uint8_t>(vga.window().read(address - 0xa0000, 1)); }
  void set_dispi(uint16_t index, uint16_t value) {
    vga.dispi_ports().write(0, 2, index);
    vga.dispi_ports().write(1, 2, value);
  }
  uint16_t get_dispi(uint16_t index) {
    vga.dispi_ports().write(0, 2, index);
    return static_cast<uint16_t>(vga.dispi_ports().read(1, 2));
  }

  FakeClock clock;
  Vga vga{clock, {}};
};

}  // namespace vireo
