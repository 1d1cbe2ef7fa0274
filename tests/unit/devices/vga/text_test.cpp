#include <gmock/gmock.h>

#include "tests/unit/devices/vga/vga_fixture.h"

namespace vireo {
namespace {

class VgaTextTest : public VgaTest {
 protected:
  void SetUp() override {
    set_mode(kMode3);
    for (unsigned i = 0; i < 64; ++i) set_dac(static_cast<uint8_t>(i), static_cast<uint8_t>(i), 0, 0);
  }
  void print(unsigned cell, std::string_view text, uint8_t attribute = 7) {
    for (const char c : text) {
      poke(0xb8000 + cell * 2, static_cast<uint8_t>(c));
      poke(0xb8001 + cell * 2, attribute);
      ++cell;
    }
  }
  /// Puts the rows of a glyph into font 0, as a BIOS does.
  void define_glyph(uint8_t character, std::array<uint8_t, 16> rows, uint32_t font_base = 0) {
    set_sequencer(2, 4);
    set_sequencer(4, 6);
    set_graphics(5, 0);
    set_graphics(6, 4);
    for (unsigned i = 0; i < 16; ++i) poke(0xa0000 + font_base + character * 32u + i, rows[i]);
    set_sequencer(2, 3);
    set_sequencer(4, 2);
    set_graphics(5, 0x10);
    set_graphics(6, 0x0e);
  }
};

TEST_F(VgaTextTest, ShowsTextAndCursor) {
  print(80 * 24 + 3, "C:\\>");
  set_crtc(0x0e, (80 * 24 + 7) >> 8);
  set_crtc(0x0f, (80 * 24 + 7) & 0xff);
  const TextScreen screen = vga.text_screen();
  EXPECT_EQ(screen.columns, 80u);
  EXPECT_EQ(screen.rows, 25u);
  EXPECT_EQ(screen.cells[80 * 24 + 3].character, 'C');
  EXPECT_EQ(screen.cells[80 * 24 + 3].attribute, 7);
  EXPECT_EQ(screen.cursor_row, 24u);
  EXPECT_EQ(screen.cursor_column, 7u);
  EXPECT_THAT(screen.to_utf8(), testing::EndsWith("   C:\\>\n"));
}

TEST_F(VgaTextTest, StartAddressScrolls) {
  print(80 * 2, "third row");
  set_crtc(0x0c, 0);
  set_crtc(0x0d, 160);
  EXPECT_THAT(vga.text_screen().to_utf8(), testing::StartsWith("third row\n"));
}

TEST_F(VgaTextTest, FortyColumnsAndEightLineFontChangeTheSize) {
  set_crtc(0x11, 0);
  set_crtc(0x01, 0x27);
  set_crtc(0x13, 0x14);
  set_crtc(0x09, 0x47);
  const TextScreen screen = vga.text_screen();
  EXPECT_EQ(screen.columns, 40u);
  EXPECT_EQ(screen.rows, 50u);
}

TEST_F(VgaTextTest, NoTextWhileBlankedOrInGraphics) {
  set_sequencer(1, 0x20);
  EXPECT_EQ(vga.text_screen().columns, 0u);
  set_mode(kMode13);
  EXPECT_EQ(vga.text_screen().columns, 0u);
}

TEST_F(VgaTextTest, RendersGlyphsFromPlane2) {
  define_glyph('A', {0x80, 0x01});
  print(0, "A", 0x1e);
  const Frame frame = vga.render();
  ASSERT_EQ(frame.width, 720u);
  ASSERT_EQ(frame.height, 400u);
  const uint32_t foreground = 0xfb0000;  // palette 14 is DAC 3eh
  const uint32_t background = 0x040000;  // DAC 1
  EXPECT_EQ(frame.pixels[0], foreground);
  EXPECT_EQ(frame.pixels[1], background);
  EXPECT_EQ(frame.pixels[8], background);
  EXPECT_EQ(frame.pixels[720 + 7], foreground);
  EXPECT_EQ(frame.pixels[720 + 8], background);
}

TEST_F(VgaTextTest, LineGraphicsReachTheNinthDot) {
  define_glyph(0xc4, {0x01});
  define_glyph(0xb0, {0x01});
  print(0, "\xc4\xb0", 0x0f);
  const Frame frame = vga.render();
  EXPECT_EQ(frame.pixels[8], frame.pixels[7]);
  EXPECT_NE(frame.pixels[9 + 8], frame.pixels[9 + 7]);
}

TEST_F(VgaTextTest, AttributeBit3SelectsTheSecondFont) {
  define_glyph('A', {0xff}, 0x4000);
  print(0, "AA", 0x08);
  print(1, "A", 0x01);
  set_sequencer(3, 0x04);  // map A: the font at 16 KiB
  const Frame frame = vga.render();
  EXPECT_EQ(frame.pixels[0], 0xe30000u);  // palette 8 is DAC 38h
  EXPECT_EQ(frame.pixels[9], 0u);
}

TEST_F(VgaTextTest, CursorBlinksInGuestTime) {
  print(0, " ", 0x07);
  const size_t cursor_dot = 720 * 13;
  EXPECT_NE(vga.render().pixels[cursor_dot], 0u);
  clock.advance(kNsPerSecond / 70 * 8 + 100);
  EXPECT_EQ(vga.render().pixels[cursor_dot], 0u);
}

}  // namespace
}  // namespace vireo
