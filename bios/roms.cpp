#include "bios/roms.h"

namespace vireo {

namespace {
constexpr uint8_t kDirectBootRom[] = {
#include "direct_boot.bin.inc"
};
}  // namespace

std::span<const uint8_t> direct_boot_rom() {
  return kDirectBootRom;
}

}  // namespace vireo
