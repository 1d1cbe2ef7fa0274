// Vireo's own ROM images, assembled from the sources in this folder.
#pragma once

#include <cstdint>
#include <span>

namespace vireo {

/// Option ROM that starts the kernel described by fw_cfg (core/machine/direct_boot.h); its checksum is valid.
/// The board offers it to SeaBIOS as the fw_cfg file "genroms/direct_boot.bin".
std::span<const uint8_t> direct_boot_rom();

}  // namespace vireo
