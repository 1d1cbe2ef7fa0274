// Starting a kernel without a boot loader: reads a Linux or Multiboot kernel file, decides where everything
// goes, and describes it for the option ROM in bios/direct_boot.asm, which copies it into place and jumps.
// Sources: the Linux/x86 boot protocol (Documentation/arch/x86/boot.rst), Multiboot Specification 0.6.96.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "core/options.h"
#include "core/result.h"

namespace vireo {

/// One fw_cfg item (keys: FwCfg::kKernelSize...).
struct FwCfgItem {
  uint16_t key;
  std::vector<uint8_t> bytes;
};

struct DirectBootPlan {
  std::vector<FwCfgItem> items;
};

/// The fw_cfg file name under which SeaBIOS finds direct_boot_rom(), and the line of the fw_cfg file
/// "bootorder" that puts it before all drives.
inline constexpr std::string_view kDirectBootRomFile = "genroms/direct_boot.bin";
inline constexpr std::string_view kDirectBootOrderLine = "/rom@genroms/direct_boot.bin";

/// `ram_bytes` is RAM that starts at address 0. Errors: not a kernel, cut off, of a kind that cannot be
/// started directly, too long a command line, or too large for the RAM.
Result<DirectBootPlan> plan_direct_boot(DirectBootFiles files, uint64_t ram_bytes);

}  // namespace vireo
