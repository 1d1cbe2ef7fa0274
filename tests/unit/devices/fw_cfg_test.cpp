#include "devices/fw_cfg.h"

#include <gtest/gtest.h>

#include "core/io_bus.h"

namespace vireo {
namespace {

uint32_t big32(uint32_t value) {
  return __builtin_bswap32(value);
}
uint64_t big64(uint64_t value) {
  return __builtin_bswap64(value);
}

class FwCfgTest : public testing::Test {
 protected:
  FwCfgTest() {
    memory_->map_ram({0}, 0x100000, 0, "ram");
    ports_.map(0x510, 2, fw_cfg_.ports(), "fw_cfg");
    ports_.map(0x514, 8, fw_cfg_.dma(), "fw_cfg dma");
  }
  std::string read_bytes(uint16_t key, size_t count) {
    ports_.write(0x510, 2, key);
    std::string bytes;
    while (count-- != 0) bytes.push_back(static_cast<char>(ports_.read(0x511, 1)));
    return bytes;
  }
  uint32_t read_u32(uint16_t key) {
    const std::string b = read_bytes(key, 4);
    uint32_t value;
    std::memcpy(&value, b.data(), 4);
    return value;
  }
  /// Runs a DMA command at 0x1000; gives the control field afterwards.
  uint32_t dma(uint32_t control, uint32_t length, uint64_t address) {
    memory_->write_value<uint32_t>({0x1000}, big32(control));
    memory_->write_value<uint32_t>({0x1004}, big32(length));
    memory_->write_value<uint64_t>({0x1008}, big64(address));
    ports_.write(0x518, 4, big32(0x1000));
    return big32(memory_->read_value<uint32_t>({0x1000}));
  }
  /// Finds a file in the directory: its key and size, or 0.
  std::pair<uint16_t, uint32_t> find_file(std::string_view name) {
    const uint32_t count = big32(read_u32(0x19));
    const std::string directory = read_bytes(0x19, 4 + 64 * count);
    for (uint32_t i = 0; i < count; ++i) {
      const char* entry = directory.data() + 4 + 64 * i;
      if (name != entry + 8) continue;
      uint32_t size;
      uint16_t key;
      std::memcpy(&size, entry, 4);
      std::memcpy(&key, entry + 4, 2);
      return {__builtin_bswap16(key), big32(size)};
    }
    return {0, 0};
  }

  std::unique_ptr<GuestMemory> memory_ = GuestMemory::create(1 << 20).take();
  IoBus ports_;
  FwCfg fw_cfg_{*memory_};
};

TEST_F(FwCfgTest, SignatureAndFeatures) {
  EXPECT_EQ(read_bytes(0, 4), "QEMU");
  EXPECT_EQ(read_u32(1), 3u);
  EXPECT_EQ(ports_.read(0x514, 4), big32(0x51454d55));
  EXPECT_EQ(ports_.read(0x518, 4), big32(0x20434647));
  EXPECT_EQ(ports_.read(0x514, 1), uint32_t{'Q'});
}

TEST_F(FwCfgTest, ItemsAreReadInOrderThenAsZeros) {
  fw_cfg_.add_u32(FwCfg::kKernelSize, 0x11223344);
  fw_cfg_.add_string(FwCfg::kCmdlineData, "root=/dev/sda");
  EXPECT_EQ(read_u32(FwCfg::kKernelSize), 0x11223344u);
  EXPECT_EQ(ports_.read(0x511, 1), 0u);
  EXPECT_EQ(read_bytes(FwCfg::kCmdlineData, 14), std::string("root=/dev/sda\0", 14));
  EXPECT_EQ(read_u32(0x7777), 0u);
}

TEST_F(FwCfgTest, FilesAreInTheDirectory) {
  fw_cfg_.add_file("etc/one", {1});
  fw_cfg_.add_file("genroms/two.rom", {0x55, 0xaa, 3});
  EXPECT_EQ(find_file("etc/one"), std::make_pair(uint16_t{0x20}, 1u));
  const auto [key, size] = find_file("genroms/two.rom");
  EXPECT_EQ(size, 3u);
  EXPECT_EQ(read_bytes(key, 3), "\x55\xaa\x03");
  EXPECT_EQ(find_file("nothing").first, 0);
}

TEST_F(FwCfgTest, DmaReadsSelectsAndSkips) {
  fw_cfg_.add_item(0x40, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(dma(0x40 << 16 | 8 | 2, 3, 0x2000), 0u);
  EXPECT_EQ(memory_->read_value<uint32_t>({0x2000}), 0x030201u);
  EXPECT_EQ(dma(4, 2, 0), 0u);
  memory_->write_value<uint64_t>({0x2000}, ~0ull);
  EXPECT_EQ(dma(2, 7, 0x2000), 0u);
  EXPECT_EQ(memory_->read_value<uint64_t>({0x2000}), 0xff00000000080706u);
}

TEST_F(FwCfgTest, DmaAbove4GiBUsesBothHalves) {
  memory_->map_ram({0x100000000}, 0x1000, 0x3000, "alias");
  memory_->write_value<uint32_t>({0x3000}, big32(0 << 16 | 8 | 2));
  memory_->write_value<uint32_t>({0x3004}, big32(4));
  memory_->write_value<uint64_t>({0x3008}, big64(0x100000800));
  ports_.write(0x514, 4, big32(1));
  ports_.write(0x518, 4, 0);
  EXPECT_EQ(memory_->read_value<uint32_t>({0x3000}), 0u);
  EXPECT_EQ(memory_->read_value<uint32_t>({0x3800}), 0x554d4551u);
}

TEST_F(FwCfgTest, DmaErrorsAreReported) {
  EXPECT_EQ(dma(0 << 16 | 8 | 2, 4, 0x80000000), 1u);
  EXPECT_EQ(dma(0 << 16 | 8 | 16, 4, 0x2000), 1u);
}

TEST_F(FwCfgTest, WritableFilesTakeDmaWrites) {
  std::vector<uint8_t> seen;
  fw_cfg_.add_writable_file("etc/answer", {0, 0, 0, 0},
                            [&](std::span<const uint8_t> bytes) { seen.assign(bytes.begin(), bytes.end()); });
  const uint16_t key = find_file("etc/answer").first;
  memory_->write_value<uint16_t>({0x2000}, 0xbbaa);
  EXPECT_EQ(dma(static_cast<uint32_t>(key) << 16 | 8 | 4, 1, 0), 0u);
  EXPECT_EQ(dma(16, 2, 0x2000), 0u);
  EXPECT_EQ(seen, (std::vector<uint8_t>{0, 0xaa, 0xbb, 0}));
  EXPECT_EQ(dma(16, 2, 0x2000), 1u);
}

TEST_F(FwCfgTest, PcItemsDescribeTheMachine) {
  add_pc_items(fw_cfg_, {.ram_bytes = 0x140000000,
                         .low_ram_bytes = 0xe0000000,
                         .boot_menu = true,
                         .boot_order = {"/pci@i0cf8/ide@1,1/drive@0/disk@0", "HALT"}});
  EXPECT_EQ(read_u32(FwCfg::kRamSize), 0x40000000u);
  EXPECT_EQ(read_u32(FwCfg::kCpus), 1u);
  EXPECT_EQ(read_bytes(FwCfg::kIrq0Override, 1), "\x01");
  const auto [e820, size] = find_file("etc/e820");
  ASSERT_EQ(size, 40u);
  const std::string map = read_bytes(e820, size);
  uint64_t start, length;
  std::memcpy(&start, map.data() + 20, 8);
  std::memcpy(&length, map.data() + 28, 8);
  EXPECT_EQ(start, 0x100000000u);
  EXPECT_EQ(length, 0x60000000u);
  const auto [order, order_size] = find_file("bootorder");
  EXPECT_EQ(read_bytes(order, order_size), std::string("/pci@i0cf8/ide@1,1/drive@0/disk@0\nHALT\0", 39));
}

TEST_F(FwCfgTest, StateKeepsSelectionAndPosition) {
  fw_cfg_.add_item(0x40, {1, 2, 3, 4});
  read_bytes(0x40, 2);
  StateArchive out;
  fw_cfg_.state(out);
  fw_cfg_.reset();
  StateArchive in(out.bytes());
  fw_cfg_.state(in);
  EXPECT_EQ(ports_.read(0x511, 1), 3u);
}

}  // namespace
}  // namespace vireo
