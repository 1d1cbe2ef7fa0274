#include "bios/roms.h"

namespace vireo {

namespace {
constexpr uint8_t kDirectBootRom[] = {
#include "direct_boot.bin.inc"
};
constexpr uint8_t kNanoGuest[] = {
#include "nano.bin.inc"
};
static_assert(sizeof(kNanoGuest) % 512 == 0);
}  // namespace

std::span<const uint8_t> direct_boot_rom() {
  return kDirectBootRom;
}

std::span<const uint8_t> nano_guest() {
  return kNanoGuest;
}

}  // namespace vireo
