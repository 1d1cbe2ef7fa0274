#include "devices/vga/vga.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace vireo {

namespace {

std::vector<uint8_t> padded_rom(std::vector<uint8_t> image) {
  if (!image.empty()) image.resize(std::bit_ceil(std::max<size_t>(image.size(), 2048)), 0xff);
  return image;
}

}  // namespace

Vga::Vga(const Clock& clock, std::vector<uint8_t> bios)
    // The identity that the stdvga build of SeaBIOS's VGA BIOS and the guests' Bochs display drivers look
    // for.
    : PciFunction({.vendor = 0x1234, .device = 0x1111, .revision = 2, .class_code = 0x030000}),
      clock_(clock),
      bios_(padded_rom(std::move(bios))),
      vram_(kVramBytes) {
  add_mmio_bar(0, kVramBytes, linear_);
  if (!bios_.empty()) add_rom(bios_);
}

void Vga::reset() {
  reset_config();
  registers_ = {};
  dispi_.reset();
  latches_ = 0;
  vram_.clear();
}

void Vga::state(StateArchive& ar) {
  config_state(ar);
  ar.raw("vram", vram_.span());
  ar.field("registers", registers_);
  ar.field("dispi", dispi_);
  ar.field("latches", latches_);
}

}  // namespace vireo
