// A VGA with 16 MiB of memory and the Bochs VBE interface, as a PCI function.
// Source: IBM VGA XGA Technical Reference (1992), chapter 2. Memory is kept as the hardware's four planes
// side by side: byte 4 * offset + plane; linear (VBE) modes see the same bytes in order.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/clock.h"
#include "core/device.h"
#include "core/host_io.h"
#include "core/sparse_array.h"
#include "devices/pci.h"
#include "devices/vga/vbe_dispi.h"
#include "devices/vga/vga_registers.h"

namespace vireo {

class Vga final : public Device, public PciFunction, public VideoSource {
 public:
  static constexpr uint32_t kVramBytes = 16 << 20;
  static constexpr uint32_t kPortBase = 0x3b0;  ///< where the board maps ports()
  static constexpr uint32_t kPortCount = 0x30;
  static constexpr uint32_t kDispiPortBase = 0x1ce;  ///< where the board maps dispi_ports()
  static constexpr uint32_t kDispiPortCount = 4;
  static constexpr uint64_t kWindowBase = 0xa0000;  ///< where the board maps window()
  static constexpr uint64_t kWindowSize = 0x20000;

  /// `clock` paces retrace and blinking. `bios` is the VGA BIOS image for the expansion ROM (may be empty).
  Vga(const Clock& clock, std::vector<uint8_t> bios);

  IoRegion& ports() { return ports_; }
  IoRegion& dispi_ports() { return dispi_ports_; }
  IoRegion& window() { return window_; }

  std::string_view name() const override { return "vga"; }
  void reset() override;
  void state(StateArchive& ar) override;

  TextScreen text_screen() const override;
  Frame render() const override;

 private:
  uint64_t read_ports(uint32_t offset, unsigned size);
  void write_ports(uint32_t offset, unsigned size, uint64_t value);
  uint64_t read_dispi(uint32_t offset, unsigned size);
  void write_dispi(uint32_t offset, unsigned size, uint64_t value);
  uint64_t read_window(uint32_t offset, unsigned size);
  void write_window(uint32_t offset, unsigned size, uint64_t value);
  uint64_t read_linear(uint32_t offset, unsigned size);
  void write_linear(uint32_t offset, unsigned size, uint64_t value);

  uint8_t read_port(uint32_t port);
  void write_port(uint32_t port, uint8_t value);
  uint8_t read_crtc() const;
  void write_crtc(uint8_t value);
  void write_attribute(uint8_t value);
  uint8_t read_dac();
  void write_dac(uint8_t value);

  /// Turns a window offset into one within the selected 32, 64 or 128 KiB; false: not decoded.
  bool decode_window(uint32_t& offset) const;
  uint8_t read_planar(uint32_t offset);
  void write_planar(uint32_t offset, uint8_t value);
  uint32_t planes(uint32_t offset) const;
  void set_planes(uint32_t offset, uint32_t value);
  uint32_t plane_bytes() const;

  struct ScanLine;
  Frame render_crtc() const;
  Frame render_linear() const;
  Frame render_planar_vbe() const;
  /// Fill `dots` with attribute controller output, DAC indexes, one per dot.
  void draw_text_line(const ScanLine& line, std::vector<uint8_t>& dots) const;
  void draw_graphics_line(const ScanLine& line, std::vector<uint8_t>& dots) const;
  /// The colours that the DAC puts out, by DAC index.
  std::array<uint32_t, 256> dac_colors() const;
  /// DAC index of a 4-bit pixel after the attribute controller's palette.
  uint8_t palette_index(uint8_t pixel) const;
  /// Blinking things are visible in one half of their period, given in frames.
  bool blink_visible(unsigned period_frames) const;

  const Clock& clock_;
  std::vector<uint8_t> bios_;
  SparseArray<uint8_t> vram_;
  VgaRegisters registers_;
  VbeDispi dispi_{kVramBytes};
  uint32_t latches_ = 0;

  MemberRegion<Vga, &Vga::read_ports, &Vga::write_ports> ports_{*this};
  MemberRegion<Vga, &Vga::read_dispi, &Vga::write_dispi> dispi_ports_{*this};
  // The screen is looked at between runs of the engine.
  MemberRegion<Vga, &Vga::read_window, &Vga::write_window, true> window_{*this};
  MemberRegion<Vga, &Vga::read_linear, &Vga::write_linear, true> linear_{*this};
};

}  // namespace vireo
