#include "devices/dma8237.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace vireo {
namespace {

class Dma8237Test : public ::testing::Test {
 protected:
  Dma8237Test() { memory->map_ram({0}, 1 << 20, 0, "ram"); }
  void out1(uint32_t port, uint8_t value) { dma.first_ports().write(port, 1, value); }
  uint8_t in1(uint32_t port) { return static_cast<uint8_t>(dma.first_ports().read(port, 1)); }
  void out2(uint32_t port, uint8_t value) { dma.second_ports().write(port, 1, value); }
  void page(uint32_t port, uint8_t value) { dma.page_ports().write(port - 0x80, 1, value); }

  /// Channel 2, as floppy drivers do; `count` in bytes.
  void program2(uint8_t mode, uint32_t address, unsigned count) {
    out1(0x0a, 0x06);
    out1(0x0c, 0);
    out1(0x0b, mode);
    out1(0x04, static_cast<uint8_t>(address));
    out1(0x04, static_cast<uint8_t>(address >> 8));
    page(0x81, static_cast<uint8_t>(address >> 16));
    out1(0x05, static_cast<uint8_t>(count - 1));
    out1(0x05, static_cast<uint8_t>((count - 1) >> 8));
    out1(0x0a, 0x02);
  }
  static std::vector<uint8_t> pattern(size_t size) {
    std::vector<uint8_t> bytes(size);
    std::iota(bytes.begin(), bytes.end(), uint8_t{1});
    return bytes;
  }
  uint8_t ram(size_t address) { return memory->ram()[address]; }

  std::unique_ptr<GuestMemory> memory = GuestMemory::create(1 << 20).take();
  Dma8237Pair dma{*memory};
};

TEST_F(Dma8237Test, ToMemoryInPiecesUntilTerminalCount) {
  program2(0x46, 0x12345, 6);
  const auto bytes = pattern(10);
  auto moved = dma.channel(2).to_memory(std::span(bytes).first(4));
  EXPECT_EQ(moved.bytes, 4u);
  EXPECT_FALSE(moved.terminal_count);
  moved = dma.channel(2).to_memory(std::span(bytes).subspan(4));
  EXPECT_EQ(moved.bytes, 2u);
  EXPECT_TRUE(moved.terminal_count);
  EXPECT_EQ(ram(0x12345), 1);
  EXPECT_EQ(ram(0x1234a), 6);
  EXPECT_EQ(ram(0x1234b), 0);
  EXPECT_EQ(in1(0x08), 0x04);
  EXPECT_EQ(in1(0x08), 0x00) << "reading the status clears TC";
  EXPECT_EQ(dma.channel(2).to_memory(bytes).bytes, 0u) << "masked at terminal count";
  out1(0x0c, 0);
  EXPECT_EQ(in1(0x04) | in1(0x04) << 8, 0x234b);
  EXPECT_EQ(in1(0x05) | in1(0x05) << 8, 0xffff);
}

TEST_F(Dma8237Test, FromMemoryWithAutoInitialise) {
  for (unsigned i = 0; i < 4; ++i) memory->ram()[0x500 + i] = static_cast<uint8_t>(0x10 + i);
  program2(0x5a, 0x500, 4);
  std::vector<uint8_t> got(10, 0);
  auto moved = dma.channel(2).from_memory(got);
  EXPECT_EQ(moved.bytes, 4u);
  EXPECT_TRUE(moved.terminal_count);
  moved = dma.channel(2).from_memory(std::span(got).subspan(4));
  EXPECT_EQ(moved.bytes, 4u);
  EXPECT_EQ(got, (std::vector<uint8_t>{0x10, 0x11, 0x12, 0x13, 0x10, 0x11, 0x12, 0x13, 0, 0}));
}

TEST_F(Dma8237Test, AddressWrapsWithinItsPageAndCanCountDown) {
  program2(0x46, 0x2fffe, 4);
  dma.channel(2).to_memory(pattern(4));
  EXPECT_EQ(ram(0x2ffff), 2);
  EXPECT_EQ(ram(0x20000), 3);
  program2(0x66, 0x40001, 3);
  dma.channel(2).to_memory(pattern(3));
  EXPECT_EQ(ram(0x40001), 1);
  EXPECT_EQ(ram(0x40000), 2);
  EXPECT_EQ(ram(0x4ffff), 3);
}

TEST_F(Dma8237Test, VerifyCountsButTouchesNothing) {
  program2(0x42, 0x600, 4);
  const auto moved = dma.channel(2).to_memory(pattern(4));
  EXPECT_EQ(moved.bytes, 4u);
  EXPECT_TRUE(moved.terminal_count);
  EXPECT_EQ(ram(0x600), 0);
}

TEST_F(Dma8237Test, WrongDirectionMaskAndDisable) {
  program2(0x4a, 0x700, 4);
  EXPECT_EQ(dma.channel(2).to_memory(pattern(4)).bytes, 0u);
  program2(0x46, 0x700, 4);
  out1(0x08, 0x04);
  EXPECT_EQ(dma.channel(2).to_memory(pattern(4)).bytes, 0u);
  out1(0x08, 0x00);
  out1(0x0f, 0x0f);
  EXPECT_EQ(dma.channel(2).to_memory(pattern(4)).bytes, 0u);
  out1(0x0e, 0x00);
  EXPECT_EQ(dma.channel(2).to_memory(pattern(4)).bytes, 4u);
}

TEST_F(Dma8237Test, SixteenBitChannel) {
  out2(0x16, 0x45);  // mode: single, to memory, channel 5
  out2(0x18, 0);     // flip-flop
  out2(0x04, 0x00);  // words: 0x18000 is byte 0x30000 with page 2
  out2(0x04, 0x80);
  page(0x8b, 0x03);  // bit 0 is not used
  out2(0x06, 1);
  out2(0x06, 0);
  out2(0x14, 0x01);  // unmask
  const auto moved = dma.channel(5).to_memory(pattern(7));
  EXPECT_EQ(moved.bytes, 4u);
  EXPECT_TRUE(moved.terminal_count);
  EXPECT_EQ(ram(0x30000), 1);
  EXPECT_EQ(ram(0x30003), 4);
  EXPECT_EQ(dma.second_ports().read(0x10, 1), 0x02u);
}

TEST_F(Dma8237Test, WildAddressIsHarmless) {
  program2(0x46, 0xff'0000, 4);
  EXPECT_EQ(dma.channel(2).to_memory(pattern(4)).bytes, 4u);
  program2(0x4a, 0xff'0000, 4);
  std::vector<uint8_t> got(4, 0);
  EXPECT_EQ(dma.channel(2).from_memory(got).bytes, 4u);
  EXPECT_EQ(got, std::vector<uint8_t>(4, 0xff));
}

TEST_F(Dma8237Test, PageRegistersReadBack) {
  for (uint32_t port = 0x80; port < 0x90; ++port) page(port, static_cast<uint8_t>(port));
  for (uint32_t port = 0x80; port < 0x90; ++port) EXPECT_EQ(dma.page_ports().read(port - 0x80, 1), port);
}

TEST_F(Dma8237Test, StateRoundTrip) {
  program2(0x46, 0x800, 8);
  dma.channel(2).to_memory(pattern(3));
  StateArchive saved;
  dma.state(saved);
  Dma8237Pair other{*memory};
  StateArchive loading{saved.bytes()};
  other.state(loading);
  EXPECT_EQ(other.channel(2).to_memory(pattern(8)).bytes, 5u);
  EXPECT_EQ(ram(0x807), 5);
}

}  // namespace
}  // namespace vireo
