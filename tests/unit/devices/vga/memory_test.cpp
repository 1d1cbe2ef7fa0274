#include "tests/unit/devices/vga/vga_fixture.h"

namespace vireo {
namespace {

class VgaMemoryTest : public VgaTest {
 protected:
  void SetUp() override { set_mode(kMode12); }

  /// The byte of each plane at an address.
  std::array<uint8_t, 4> planes_at(uint32_t address) {
    std::array<uint8_t, 4> bytes;
    const uint8_t mode = get(0x3ce, 5);
    set_graphics(5, 0);
    for (uint8_t plane = 0; plane < 4; ++plane) {
      set_graphics(4, plane);
      bytes[plane] = peek(address);
    }
    set_graphics(5, mode);
    return bytes;
  }
  void fill(uint32_t address, std::array<uint8_t, 4> bytes) {
    set_graphics(5, 0);
    set_graphics(1, 0);
    set_graphics(3, 0);
    set_graphics(8, 0xff);
    for (unsigned plane = 0; plane < 4; ++plane) {
      set_sequencer(2, static_cast<uint8_t>(1 << plane));
      poke(address, bytes[plane]);
    }
    set_sequencer(2, 0x0f);
  }
  using Bytes = std::array<uint8_t, 4>;
};

TEST_F(VgaMemoryTest, MapMaskSelectsPlanes) {
  fill(0xa0000, {1, 2, 3, 4});
  set_sequencer(2, 0x05);
  poke(0xa0000, 0xff);
  EXPECT_EQ(planes_at(0xa0000), (Bytes{0xff, 2, 0xff, 4}));
}

TEST_F(VgaMemoryTest, WriteMode0RotatesAndCombinesWithLatches) {
  fill(0xa0000, {0x0f, 0xf0, 0xaa, 0x55});
  peek(0xa0000);
  set_graphics(3, 4 | 3 << 3);  // rotate by 4, exclusive or
  set_graphics(8, 0x3c);
  poke(0xa0000, 0xf0);  // becomes 0x0f
  EXPECT_EQ(planes_at(0xa0000), (Bytes{0x03, 0xfc, 0xa6, 0x59}));
}

TEST_F(VgaMemoryTest, WriteMode0AndOrFunctions) {
  fill(0xa0000, {0x0f, 0xf0, 0xaa, 0x55});
  peek(0xa0000);
  set_graphics(3, 1 << 3);
  poke(0xa0001, 0x3c);
  set_graphics(3, 2 << 3);
  poke(0xa0002, 0x3c);
  EXPECT_EQ(planes_at(0xa0001), (Bytes{0x0c, 0x30, 0x28, 0x14}));
  EXPECT_EQ(planes_at(0xa0002), (Bytes{0x3f, 0xfc, 0xbe, 0x7d}));
}

TEST_F(VgaMemoryTest, SetResetReplacesEnabledPlanes) {
  set_graphics(0, 0x05);
  set_graphics(1, 0x0c);
  poke(0xa0000, 0x99);
  EXPECT_EQ(planes_at(0xa0000), (Bytes{0x99, 0x99, 0xff, 0x00}));
}

TEST_F(VgaMemoryTest, WriteMode1CopiesLatches) {
  fill(0xa0010, {1, 2, 3, 4});
  peek(0xa0010);
  set_graphics(5, 1);
  poke(0xa0020, 0xee);
  EXPECT_EQ(planes_at(0xa0020), (Bytes{1, 2, 3, 4}));
}

TEST_F(VgaMemoryTest, WriteMode2PutsAColorUnderTheBitMask) {
  fill(0xa0000, {0, 0, 0xff, 0xff});
  peek(0xa0000);
  set_graphics(5, 2);
  set_graphics(8, 0x81);
  poke(0xa0000, 0x09);
  EXPECT_EQ(planes_at(0xa0000), (Bytes{0x81, 0x00, 0x7e, 0xff}));
}

TEST_F(VgaMemoryTest, WriteMode3UsesDataAsMaskAndSetResetAsColor) {
  fill(0xa0000, {0, 0xff, 0, 0xff});
  peek(0xa0000);
  set_graphics(0, 0x05);
  set_graphics(8, 0xf0);
  set_graphics(5, 3);
  poke(0xa0000, 0x3c);  // and bit mask: 0x30
  EXPECT_EQ(planes_at(0xa0000), (Bytes{0x30, 0xcf, 0x30, 0xcf}));
}

TEST_F(VgaMemoryTest, ReadMode1ComparesColorsExceptDontCarePlanes) {
  fill(0xa0000, {0xf0, 0xcc, 0xaa, 0x00});
  set_graphics(5, 8);
  set_graphics(2, 0x07);
  set_graphics(7, 0x0f);
  EXPECT_EQ(peek(0xa0000), 0x80);
  set_graphics(7, 0x03);
  EXPECT_EQ(peek(0xa0000), 0xc0);
  set_graphics(7, 0x00);
  EXPECT_EQ(peek(0xa0000), 0xff);
}

TEST_F(VgaMemoryTest, Chain4SpreadsBytesOverPlanes) {
  set_mode(kMode13);
  vga.window().write(0x100, 4, 0x44332211);
  EXPECT_EQ(vga.window().read(0x100, 4), 0x44332211u);
  set_sequencer(4, 6);
  EXPECT_EQ(planes_at(0xa0100), (Bytes{0x11, 0x22, 0x33, 0x44}));
}

TEST_F(VgaMemoryTest, OddEvenPutsCharactersInPlane0AndAttributesInPlane1) {
  set_mode(kMode3);
  vga.window().write(0x18000 + 6, 2, 0x1f41);
  EXPECT_EQ(peek(0xb8006), 0x41);
  EXPECT_EQ(peek(0xb8007), 0x1f);
  set_sequencer(4, 6);
  set_graphics(6, 5);
  EXPECT_EQ(planes_at(0xa0006), (Bytes{0x41, 0x1f, 0, 0}));
}

TEST_F(VgaMemoryTest, MemoryMapSelectDecodesOnlyItsRange) {
  set_graphics(6, 0x08);  // B0000 to B7FFF
  poke(0xb0000, 0x12);
  poke(0xa0000, 0x34);
  EXPECT_EQ(peek(0xb0000), 0x12);
  EXPECT_EQ(peek(0xa0000), 0xff);
  EXPECT_EQ(peek(0xb8000), 0xff);
  set_graphics(6, 0x0c);  // B8000 to BFFFF shows the same memory
  EXPECT_EQ(peek(0xb8000), 0x12);
  set_graphics(6, 0x00);  // A0000 to BFFFF
  EXPECT_EQ(peek(0xa0000), 0x12);
  out(0x3c2, 0x61);  // RAM disabled
  EXPECT_EQ(peek(0xa0000), 0xff);
}

}  // namespace
}  // namespace vireo
