#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "core/machine/pc_board.h"

namespace vireo {

namespace {

constexpr uint64_t kLargestBios = 8 << 20;

Result<std::vector<uint8_t>> read_rom(const std::string& name) {
  const std::string path = std::string(VIREO_FIRMWARE_DIR) + "/" + name;
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.empty() || bytes.size() > kLargestBios) {
    return Error{fmt::format("firmware {} is missing or unreadable; install Debian's package seabios", path),
                 ExitStatus::kHostCannot};
  }
  return bytes;
}

}  // namespace

Result<Firmware> Firmware::load() {
  auto bios = read_rom("bios-256k.bin");
  if (!bios) return bios.error();
  auto vga_bios = read_rom("vgabios-stdvga.bin");
  if (!vga_bios) return vga_bios.error();
  if (bios.value().size() % 0x10000 != 0 || bios.value().size() < 0x20000) {
    return Error{"the BIOS image of the package seabios has an unexpected size; reinstall that package",
                 ExitStatus::kHostCannot};
  }
  return Firmware{bios.take(), vga_bios.take()};
}

}  // namespace vireo
