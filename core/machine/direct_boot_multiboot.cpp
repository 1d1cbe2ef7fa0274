// Multiboot 1 kernels (Multiboot Specification 0.6.96): ELF32, or any file whose header carries load
// addresses.
#include <algorithm>
#include <optional>

#include "core/machine/direct_boot_formats.h"
#include "devices/fw_cfg.h"

namespace vireo::direct_boot {

namespace {

constexpr uint32_t kHeaderMagic = 0x1badb002;
constexpr size_t kHeaderSearchBytes = 8192;
// Flags of the header; of bits 0 to 15 a loader must know every one that is set.
constexpr uint32_t kKnownRequirements = 7;  // aligned modules, memory information, preferred video mode
constexpr uint32_t kHasAddresses = 1 << 16;

// Flags and fields of the information that the kernel is given.
constexpr uint32_t kInfoCommandLine = 1 << 2;
constexpr uint32_t kInfoModules = 1 << 3;
constexpr uint32_t kInfoLoaderName = 1 << 9;
constexpr size_t kInfoSize = 120;
constexpr size_t kModuleSize = 16;
/// Behind the option ROM's memory map and before anything else that uses low memory.
constexpr uint32_t kInfoAddress = 0x9000;
constexpr uint32_t kInfoLimit = 0x80000;

std::optional<size_t> find_header(std::span<const uint8_t> kernel) {
  const size_t end = std::min(kernel.size(), kHeaderSearchBytes);
  for (size_t at = 0; at + 12 <= end; at += 4) {
    if (get<uint32_t>(kernel, at) == kHeaderMagic &&
        kHeaderMagic + get<uint32_t>(kernel, at + 4) + get<uint32_t>(kernel, at + 8) == 0) {
      return at;
    }
  }
  return std::nullopt;
}

/// A run of the file and where it goes; memory past the file's bytes is zero.
struct Segment {
  uint64_t file_offset;
  uint64_t file_size;
  uint64_t address;
  uint64_t memory_size;
};

struct Image {
  std::vector<Segment> segments;
  uint32_t entry = 0;
};

Result<Image> addresses_image(const DirectBootFiles& files, size_t header) {
  const std::span<const uint8_t> kernel = files.kernel;
  if (header + 32 > kernel.size())
    return kernel_error(files, "the file is cut off inside its Multiboot header");
  const uint32_t header_address = get<uint32_t>(kernel, header + 12);
  const uint32_t load = get<uint32_t>(kernel, header + 16);
  const uint32_t load_end = get<uint32_t>(kernel, header + 20);
  const uint32_t bss_end = get<uint32_t>(kernel, header + 24);
  if (header_address < load || header_address - load > header) {
    return kernel_error(files, "the load addresses in its Multiboot header contradict each other");
  }
  const uint64_t offset = header - (header_address - load);
  const uint64_t size = load_end != 0 ? uint64_t{load_end} - load : kernel.size() - offset;
  if (load_end != 0 && load_end < load) {
    return kernel_error(files, "the load addresses in its Multiboot header contradict each other");
  }
  const uint64_t memory = bss_end > load + size ? bss_end - load : size;
  return Image{{{offset, size, load, memory}}, get<uint32_t>(kernel, header + 28)};
}

Result<Image> elf_image(const DirectBootFiles& files) {
  const std::span<const uint8_t> kernel = files.kernel;
  if (kernel.size() < 52 || std::memcmp(kernel.data(),
                                        "\x7f"
                                        "ELF",
                                        4) != 0) {
    return kernel_error(files, "its Multiboot header has no load addresses and the file is not ELF");
  }
  if (kernel[4] != 1 || get<uint16_t>(kernel, 18) != 3) {
    return kernel_error(files, "this Multiboot kernel is an ELF file for another CPU than the 32-bit 386");
  }
  Image image;
  const uint32_t virtual_entry = get<uint32_t>(kernel, 24);
  image.entry = virtual_entry;
  const uint64_t table = get<uint32_t>(kernel, 28);
  const unsigned entry_size = get<uint16_t>(kernel, 42);
  const unsigned count = get<uint16_t>(kernel, 44);
  if (entry_size < 32 || table + uint64_t{entry_size} * count > kernel.size()) {
    return kernel_error(files, "the file is cut off inside its ELF program headers");
  }
  for (unsigned i = 0; i < count; ++i) {
    const auto header = kernel.subspan(table + size_t{entry_size} * i, 32);
    const uint32_t memory_size = get<uint32_t>(header, 20);
    if (get<uint32_t>(header, 0) != 1 || memory_size == 0) continue;
    const uint32_t virtual_address = get<uint32_t>(header, 8);
    const Segment segment{get<uint32_t>(header, 4), std::min(get<uint32_t>(header, 16), memory_size),
                          get<uint32_t>(header, 12), memory_size};
    image.segments.push_back(segment);
    // Paging is off: a virtual entry point means its physical place.
    if (virtual_entry >= virtual_address && virtual_entry - virtual_address < memory_size) {
      image.entry = static_cast<uint32_t>(virtual_entry - virtual_address + segment.address);
    }
  }
  if (image.segments.empty()) return kernel_error(files, "this ELF file has nothing to load");
  return image;
}

/// The information structure, a module entry, and the strings, as they will stand at kInfoAddress.
std::vector<uint8_t> boot_information(const DirectBootFiles& files, uint64_t module, uint64_t module_size) {
  std::vector<uint8_t> info(kInfoSize + kModuleSize);
  auto append_string = [&info](const std::string& text) {
    const auto address = static_cast<uint32_t>(kInfoAddress + info.size());
    info.insert(info.end(), text.begin(), text.end());
    info.push_back(0);
    return address;
  };
  // The first word names the kernel, as with other loaders.
  const std::string separator = files.command_line.empty() ? "" : " ";
  const uint32_t command_line = append_string(files.kernel_name + separator + files.command_line);
  const uint32_t loader_name = append_string("Vireo");
  uint32_t flags = kInfoCommandLine | kInfoLoaderName;
  put(info, 16, command_line);
  put(info, 64, loader_name);
  if (module_size != 0) {
    flags |= kInfoModules;
    const uint32_t module_name = append_string("initrd");
    put(info, 20, uint32_t{1});
    put(info, 24, static_cast<uint32_t>(kInfoAddress + kInfoSize));
    put(info, kInfoSize, static_cast<uint32_t>(module));
    put(info, kInfoSize + 4, static_cast<uint32_t>(module + module_size));
    put(info, kInfoSize + 8, module_name);
  }
  put(info, 0, flags);
  return info;
}

}  // namespace

bool is_multiboot(std::span<const uint8_t> kernel) {
  return find_header(kernel).has_value();
}

Result<DirectBootPlan> plan_multiboot(DirectBootFiles files, uint64_t ram_bytes) {
  const size_t header = find_header(files.kernel).value();
  const uint32_t flags = get<uint32_t>(files.kernel, header + 4);
  if ((flags & 0xffff & ~kKnownRequirements) != 0) {
    return kernel_error(files,
                        fmt::format("its Multiboot header requires features {:#x} that Vireo does not have",
                                    flags & 0xffff & ~kKnownRequirements));
  }
  Result<Image> loaded = (flags & kHasAddresses) != 0 ? addresses_image(files, header) : elf_image(files);
  if (!loaded) return loaded.error();
  const Image& image = loaded.value();

  uint64_t start = ~uint64_t{0};
  uint64_t end = 0;
  for (const Segment& segment : image.segments) {
    if (segment.file_offset + segment.file_size > files.kernel.size()) {
      return kernel_error(files,
                          fmt::format("the file is cut off: it has {} bytes and its header announces {}",
                                      files.kernel.size(), segment.file_offset + segment.file_size));
    }
    start = std::min(start, segment.address);
    end = std::max(end, segment.address + segment.memory_size);
  }
  if (start < kOneMib) return kernel_error(files, "it wants to be loaded below 1 MiB, where the firmware is");
  if (image.entry < start || image.entry >= end)
    return kernel_error(files, "its entry point is outside of what it loads");
  const uint64_t module = (end + kPageMask) & ~kPageMask;
  const uint64_t module_size = files.initrd.size();
  const uint64_t needed = module + module_size + kFirmwareReserve;
  if (needed > ram_bytes) return too_little_ram(files, needed, ram_bytes);

  std::vector<uint8_t> memory(module_size != 0 ? module + module_size - start : end - start);
  for (const Segment& segment : image.segments) {
    std::memcpy(&memory[segment.address - start], files.kernel.data() + segment.file_offset,
                segment.file_size);
  }
  if (module_size != 0) std::memcpy(&memory[module - start], files.initrd.data(), module_size);
  std::vector<uint8_t> info = boot_information(files, module, module_size);
  if (kInfoAddress + info.size() > kInfoLimit) return kernel_error(files, "the command line is too long");

  DirectBootPlan plan;
  add_u32(plan, FwCfg::kSetupSize, 0);
  add_u32(plan, FwCfg::kKernelEntry, image.entry);
  add_u32(plan, FwCfg::kKernelAddress, start);
  add_u32(plan, FwCfg::kKernelSize, memory.size());
  plan.items.push_back({FwCfg::kKernelData, std::move(memory)});
  add_u32(plan, FwCfg::kInitrdAddress, kInfoAddress);
  add_u32(plan, FwCfg::kInitrdSize, info.size());
  plan.items.push_back({FwCfg::kInitrdData, std::move(info)});
  return plan;
}

}  // namespace vireo::direct_boot
