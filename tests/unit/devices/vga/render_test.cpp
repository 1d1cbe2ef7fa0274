#include "tests/unit/devices/vga/vga_fixture.h"

namespace vireo {
namespace {

class VgaRenderTest : public VgaTest {
 protected:
  void SetUp() override {
    for (unsigned i = 0; i < 256; ++i) set_dac(static_cast<uint8_t>(i), static_cast<uint8_t>(i % 64), 0, 0);
    set_dac(1, 0, 0, 63);
    set_dac(200, 63, 0, 0);
  }
  void set_vbe_mode(uint16_t width, uint16_t height, uint16_t bpp, uint16_t flags = 0) {
    set_dispi(VbeDispi::kEnable, 0);
    set_dispi(VbeDispi::kXRes, width);
    set_dispi(VbeDispi::kYRes, height);
    set_dispi(VbeDispi::kBpp, bpp);
    set_dispi(VbeDispi::kEnable, VbeDispi::kEnabled | VbeDispi::kLinearFramebuffer | flags);
  }
};

TEST_F(VgaRenderTest, Mode13ShowsEachByteAsTwoByTwoDots) {
  set_mode(kMode13);
  poke(0xa0000 + 320 + 319, 200);
  const Frame frame = vga.render();
  ASSERT_EQ(frame.width, 640u);
  ASSERT_EQ(frame.height, 400u);
  EXPECT_EQ(frame.pixels[640 * 1 + 639], 0u);
  EXPECT_EQ(frame.pixels[640 * 2 + 638], 0xff0000u);
  EXPECT_EQ(frame.pixels[640 * 3 + 639], 0xff0000u);
  EXPECT_EQ(frame.pixels[640 * 2 + 637], 0u);
  EXPECT_EQ(frame.pixels[640 * 4], 0u);
}

TEST_F(VgaRenderTest, ModeXShowsPlanesSideBySideAndScrolls) {
  set_mode(kMode13);
  set_sequencer(4, 6);
  set_crtc(0x14, 0);
  set_crtc(0x17, 0xe3);
  set_sequencer(2, 4);
  poke(0xa0000 + 80, 200);
  EXPECT_EQ(vga.render().pixels[640 * 2 + 4], 0xff0000u);
  set_crtc(0x0d, 80);
  EXPECT_EQ(vga.render().pixels[4], 0xff0000u);
}

TEST_F(VgaRenderTest, Mode12MixesFourPlanesAndSplitsTheScreen) {
  set_mode(kMode12);
  set_sequencer(2, 1);
  poke(0xa0000, 0x40);
  Frame frame = vga.render();
  ASSERT_EQ(frame.width, 640u);
  ASSERT_EQ(frame.height, 480u);
  EXPECT_EQ(frame.pixels[0], 0u);
  EXPECT_EQ(frame.pixels[1], 0xffu);
  set_crtc(0x0c, 0x10);  // the top shows other memory; line compare at 99 brings address 0 back
  set_crtc(0x18, 99);
  set_crtc(0x07, 0x2e);
  set_crtc(0x09, 0x00);
  frame = vga.render();
  EXPECT_EQ(frame.pixels[1], 0u);
  EXPECT_EQ(frame.pixels[640 * 100 + 1], 0xffu);
}

TEST_F(VgaRenderTest, PanningMovesThePictureLeft) {
  set_mode(kMode12);
  poke(0xa0000, 0x10);
  set_attribute(0x13, 3);
  EXPECT_NE(vga.render().pixels[0], 0u);
}

TEST_F(VgaRenderTest, CgaFourColorModeInterleavesRowsAndBitPairs) {
  set_mode(kMode13);  // then what mode 4 changes
  set_crtc(0x11, 0x0e);
  set_sequencer(1, 0x09);
  set_sequencer(2, 0x03);
  set_sequencer(4, 0x02);
  set_graphics(5, 0x30);
  set_graphics(6, 0x0f);
  set_crtc(0x01, 0x27);
  set_crtc(0x09, 0xc1);
  set_crtc(0x13, 0x14);
  set_crtc(0x14, 0);
  set_crtc(0x17, 0xa2);
  set_attribute(0x10, 0x01);
  set_attribute(1, 1);
  set_attribute(2, 2);
  set_attribute(3, 3);
  poke(0xb8000, 0x1b);           // first line: pixels 0 1 2 3
  poke(0xb8001, 0x40);           // then 1
  poke(0xb8000 + 0x2000, 0xc0);  // second line: pixel 3
  const Frame frame = vga.render();
  ASSERT_EQ(frame.width, 640u);
  ASSERT_EQ(frame.height, 400u);
  EXPECT_EQ(frame.pixels[0], 0u);
  EXPECT_EQ(frame.pixels[2], 0xffu);
  EXPECT_EQ(frame.pixels[4], 0x080000u);
  EXPECT_EQ(frame.pixels[6], 0x0c0000u);
  EXPECT_EQ(frame.pixels[8], 0xffu);
  EXPECT_EQ(frame.pixels[640 * 2], 0x0c0000u);
}

TEST_F(VgaRenderTest, VbeModesOfEveryDepth) {
  set_mode(kMode13);
  set_vbe_mode(640, 480, 8);
  poke(0xa0001, 200);
  EXPECT_EQ(vga.render().pixels[1], 0xff0000u);
  set_vbe_mode(640, 480, 15);
  vga.window().write(2, 2, 0x7c1f);
  EXPECT_EQ(vga.render().pixels[1], 0xff00ffu);
  set_vbe_mode(640, 480, 16);
  vga.window().write(2, 2, 0x07e0);
  EXPECT_EQ(vga.render().pixels[1], 0x00ff00u);
  set_vbe_mode(640, 480, 24);
  vga.window().write(3, 4, 0x00123456);
  EXPECT_EQ(vga.render().pixels[1], 0x123456u);
  set_vbe_mode(1024, 768, 32);
  set_dispi(VbeDispi::kBank, 1);
  vga.window().write(0, 4, 0x00abcdef);
  const Frame frame = vga.render();
  EXPECT_EQ(frame.width, 1024u);
  EXPECT_EQ(frame.height, 768u);
  EXPECT_EQ(frame.pixels[0x10000 / 4], 0xabcdefu);
}

TEST_F(VgaRenderTest, VbePlanarModeUsesTheGraphicsController) {
  set_mode(kMode12);
  set_vbe_mode(800, 600, 4);
  set_sequencer(2, 1);
  poke(0xa0000 + 100, 0x80);
  const Frame frame = vga.render();
  ASSERT_EQ(frame.width, 800u);
  EXPECT_EQ(frame.pixels[800], 0xffu);
  EXPECT_EQ(frame.pixels[801], 0u);
}

TEST_F(VgaRenderTest, EightBitDac) {
  set_mode(kMode13);
  set_vbe_mode(640, 480, 8, VbeDispi::k8BitDac);
  set_dac(5, 0x81, 0x42, 0xff);
  poke(0xa0000, 5);
  EXPECT_EQ(vga.render().pixels[0], 0x8142ffu);
}

TEST_F(VgaRenderTest, DispiReportsCapabilitiesAndKeepsModesInMemory) {
  EXPECT_EQ(get_dispi(VbeDispi::kId), 0xb0c5);
  EXPECT_EQ(get_dispi(VbeDispi::kVideoMemory64K), 256);
  set_dispi(VbeDispi::kEnable, VbeDispi::kGetCapabilities);
  EXPECT_EQ(get_dispi(VbeDispi::kXRes), 2560);
  EXPECT_EQ(get_dispi(VbeDispi::kBpp), 32);
  set_vbe_mode(640, 480, 32);
  set_dispi(VbeDispi::kVirtualWidth, 1024);
  set_dispi(VbeDispi::kYOffset, 0xffff);
  EXPECT_EQ(get_dispi(VbeDispi::kVirtualHeight), 4096);
  EXPECT_EQ(get_dispi(VbeDispi::kYOffset), 4096 - 480);
  set_dispi(VbeDispi::kXOffset, 0xffff);
  EXPECT_EQ(get_dispi(VbeDispi::kXOffset), 1024 - 640);
  EXPECT_EQ(vga.render().height, 480u);
}

TEST_F(VgaRenderTest, EnablingClearsMemoryUnlessAskedNotTo) {
  set_mode(kMode13);
  set_vbe_mode(640, 480, 8);
  poke(0xa0000, 7);
  set_vbe_mode(640, 480, 8, VbeDispi::kNoClear);
  EXPECT_EQ(peek(0xa0000), 7);
  set_vbe_mode(640, 480, 8);
  EXPECT_EQ(peek(0xa0000), 0);
}

}  // namespace
}  // namespace vireo
