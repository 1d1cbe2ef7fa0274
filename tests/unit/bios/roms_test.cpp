#include "bios/roms.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

namespace vireo {
namespace {

TEST(DirectBootRom, IsAnOptionRomWithABootstrapEntry) {
  const std::span<const uint8_t> rom = direct_boot_rom();
  ASSERT_GE(rom.size(), 512u);
  EXPECT_EQ(rom[0], 0x55);
  EXPECT_EQ(rom[1], 0xaa);
  EXPECT_EQ(rom[2] * 512u, rom.size());
  EXPECT_EQ(std::accumulate(rom.begin(), rom.end(), 0u) & 0xff, 0u);
  const size_t header = rom[0x1a] | rom[0x1b] << 8;
  const std::span<const uint8_t> pnp = rom.subspan(header, 32);
  EXPECT_EQ(std::memcmp(pnp.data(), "$PnP", 4), 0);
  EXPECT_EQ(std::accumulate(pnp.begin(), pnp.end(), 0u) & 0xff, 0u);
  const size_t bootstrap_entry = pnp[0x1a] | pnp[0x1b] << 8;
  EXPECT_GT(bootstrap_entry, header);
  EXPECT_LT(bootstrap_entry, rom.size());
}

}  // namespace
}  // namespace vireo
