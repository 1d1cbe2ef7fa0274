// Linux bzImage and zImage (Documentation/arch/x86/boot.rst): the file's first sectors, the setup code, run
// in real mode and load the rest at `code32_start`.
#include <algorithm>
#include <charconv>
#include <optional>

#include "core/machine/direct_boot_formats.h"
#include "devices/fw_cfg.h"

namespace vireo::direct_boot {

namespace {

// Offsets in the setup header.
constexpr size_t kSetupSectors = 0x1f1;
constexpr size_t kSysSize = 0x1f4;
constexpr size_t kVideoMode = 0x1fa;
constexpr size_t kHeaderMagic = 0x202;
constexpr size_t kVersion = 0x206;
constexpr size_t kTypeOfLoader = 0x210;
constexpr size_t kLoadFlags = 0x211;
constexpr size_t kRamdiskSize = 0x21c;
constexpr size_t kHeapEnd = 0x224;
constexpr size_t kCommandLinePointer = 0x228;
constexpr size_t kInitrdAddressMax = 0x22c;
constexpr size_t kCommandLineSize = 0x238;
constexpr size_t kPreferredAddress = 0x258;
constexpr size_t kInitSize = 0x260;
constexpr size_t kLongestHeader = 0x268;
// Before protocol 2.02 the command line is announced in the boot sector itself.
constexpr size_t kOldCommandLineMagic = 0x20;
constexpr size_t kOldCommandLineOffset = 0x22;

constexpr uint8_t kLoadedHigh = 0x01;
constexpr uint8_t kCanUseHeap = 0x80;
constexpr uint8_t kUnregisteredLoader = 0xff;

struct Layout {
  uint32_t setup;
  uint32_t command_line;
  uint32_t kernel;
};

/// Old protocols want their setup code just below the EBDA, with the command line behind it.
Layout layout_for(unsigned version, bool loaded_high, size_t command_line_bytes) {
  if (loaded_high && version >= 0x202) return {0x10000, 0x20000, 0x100000};
  const auto command_line = static_cast<uint32_t>((0x9a000 - command_line_bytes) & ~size_t{15});
  return {0x90000, command_line, loaded_high ? 0x100000u : 0x10000u};
}

/// The video mode that "vga=" asks for; boot loaders, not the kernel, read that option.
std::optional<uint16_t> video_mode(std::string_view command_line) {
  const size_t at = (" " + std::string(command_line)).rfind(" vga=");
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view value = command_line.substr(at + 4);
  value = value.substr(0, value.find(' '));
  if (value == "normal") return 0xffff;
  if (value == "ext") return 0xfffe;
  if (value == "ask") return 0xfffd;
  const bool hex = value.starts_with("0x");
  if (hex) value.remove_prefix(2);
  uint16_t mode = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), mode, hex ? 16 : 10);
  if (error != std::errc{} || end != value.data() + value.size()) return std::nullopt;
  return mode;
}

}  // namespace

bool is_linux(std::span<const uint8_t> kernel) {
  return kernel.size() >= kLongestHeader && get<uint16_t>(kernel, 0x1fe) == 0xaa55 &&
         std::memcmp(&kernel[kHeaderMagic], "HdrS", 4) == 0;
}

Result<DirectBootPlan> plan_linux(DirectBootFiles files, uint64_t ram_bytes) {
  const std::span<const uint8_t> kernel = files.kernel;
  const unsigned version = get<uint16_t>(kernel, kVersion);
  if (version < 0x200) return kernel_error(files, "its Linux boot protocol is older than 2.00");

  const unsigned setup_sectors = kernel[kSetupSectors] != 0 ? kernel[kSetupSectors] : 4;
  const size_t setup_size = (setup_sectors + 1) * size_t{512};
  const size_t paragraphs =
      version >= 0x204 ? get<uint32_t>(kernel, kSysSize) : get<uint16_t>(kernel, kSysSize);
  const size_t protected_mode_size = paragraphs * 16;
  // The last paragraph may be a part of one.
  if (kernel.size() <= setup_size || kernel.size() + 15 < setup_size + protected_mode_size) {
    return kernel_error(files, fmt::format("the file is cut off: it has {} bytes and its header announces {}",
                                           kernel.size(), setup_size + protected_mode_size));
  }
  const size_t kernel_size = kernel.size() - setup_size;

  const uint32_t command_line_limit = version >= 0x206 ? get<uint32_t>(kernel, kCommandLineSize) : 255;
  if (files.command_line.size() > command_line_limit) {
    return kernel_error(files, fmt::format("the command line has {} characters and this kernel takes {}",
                                           files.command_line.size(), command_line_limit));
  }
  const bool loaded_high = (kernel[kLoadFlags] & kLoadedHigh) != 0;
  const Layout layout = layout_for(version, loaded_high, files.command_line.size() + 1);
  if (setup_size > layout.command_line - layout.setup - 0x200 || (!loaded_high && kernel_size > 0x80000)) {
    return kernel_error(files, "its header announces sizes that do not fit below 1 MiB");
  }

  uint64_t kernel_end = loaded_high ? layout.kernel + kernel_size : kOneMib;
  if (version >= 0x20a) {
    const uint64_t preferred = std::min<uint64_t>(get<uint64_t>(kernel, kPreferredAddress), UINT32_MAX);
    kernel_end = std::max(kernel_end, preferred + get<uint32_t>(kernel, kInitSize));
  }
  const uint64_t initrd_size = files.initrd.size();
  const uint64_t needed = kernel_end + initrd_size + kPageSize + kFirmwareReserve;
  if (needed > ram_bytes) return too_little_ram(files, needed, ram_bytes);
  uint64_t initrd_address = 0;
  if (initrd_size != 0) {
    const uint64_t initrd_max = version >= 0x203 ? get<uint32_t>(kernel, kInitrdAddressMax) : 0x37ffffff;
    const uint64_t end = std::min(ram_bytes, initrd_max + 1);
    if (end < kernel_end + initrd_size) {
      return kernel_error(files, fmt::format("the initrd of {} MiB is larger than this kernel can take",
                                             (initrd_size + kOneMib - 1) / kOneMib));
    }
    initrd_address = (end - initrd_size) & ~kPageMask;
  }

  std::vector<uint8_t> setup(kernel.begin(), kernel.begin() + static_cast<ptrdiff_t>(setup_size));
  setup[kTypeOfLoader] = kUnregisteredLoader;
  if (const auto mode = video_mode(files.command_line)) put(setup, kVideoMode, *mode);
  if (version >= 0x201) {
    setup[kLoadFlags] |= kCanUseHeap;
    put(setup, kHeapEnd, static_cast<uint16_t>(layout.command_line - layout.setup - 0x200));
  }
  if (version >= 0x202) {
    put(setup, kCommandLinePointer, layout.command_line);
  } else {
    put(setup, kOldCommandLineMagic, uint16_t{0xa33f});
    put(setup, kOldCommandLineOffset, static_cast<uint16_t>(layout.command_line - layout.setup));
  }
  put(setup, kRamdiskSize, static_cast<uint32_t>(initrd_size));  // the option ROM fills in where

  DirectBootPlan plan;
  add_u32(plan, FwCfg::kSetupAddress, layout.setup);
  add_u32(plan, FwCfg::kSetupSize, setup.size());
  plan.items.push_back({FwCfg::kSetupData, std::move(setup)});
  std::vector<uint8_t> command_line(files.command_line.begin(), files.command_line.end());
  command_line.push_back(0);
  add_u32(plan, FwCfg::kCmdlineAddress, layout.command_line);
  add_u32(plan, FwCfg::kCmdlineSize, command_line.size());
  plan.items.push_back({FwCfg::kCmdlineData, std::move(command_line)});
  add_u32(plan, FwCfg::kKernelAddress, layout.kernel);
  add_u32(plan, FwCfg::kKernelSize, kernel_size);
  files.kernel.erase(files.kernel.begin(), files.kernel.begin() + static_cast<ptrdiff_t>(setup_size));
  plan.items.push_back({FwCfg::kKernelData, std::move(files.kernel)});
  add_u32(plan, FwCfg::kInitrdAddress, initrd_address);
  add_u32(plan, FwCfg::kInitrdSize, initrd_size);
  plan.items.push_back({FwCfg::kInitrdData, std::move(files.initrd)});
  return plan;
}

}  // namespace vireo::direct_boot
