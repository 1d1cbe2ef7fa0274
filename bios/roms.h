// Vireo's own ROM images and benchmark guests, assembled from the sources in this folder.
#pragma once

#include <cstdint>
#include <span>

namespace vireo {

/// Option ROM that starts the kernel described by fw_cfg (core/machine/direct_boot.h); its checksum is valid.
/// The board offers it to SeaBIOS as the fw_cfg file "genroms/direct_boot.bin".
std::span<const uint8_t> direct_boot_rom();

/// Bootable disk image of the nanobenchmarks, whole sectors (bios/README.md: its settings and what it writes
/// to COM1).
std::span<const uint8_t> nano_guest();

}  // namespace vireo
