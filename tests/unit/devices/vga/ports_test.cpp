#include "tests/unit/devices/vga/vga_fixture.h"

namespace vireo {
namespace {

TEST_F(VgaTest, CrtcMovesBetweenMonochromeAndColorPorts) {
  out(0x3c2, 0x00);
  set(0x3b4, 0x0e, 0x12);
  EXPECT_EQ(get(0x3b4, 0x0e), 0x12);
  EXPECT_EQ(in(0x3d5), 0xff);
  out(0x3c2, 0x01);
  EXPECT_EQ(in(0x3cc), 0x01);
  EXPECT_EQ(get(0x3d4, 0x0e), 0x12);
  EXPECT_EQ(in(0x3b5), 0xff);
}

TEST_F(VgaTest, WordWriteReachesIndexAndData) {
  out(0x3c2, 0x01);
  vga.ports().write(0x3d4 - Vga::kPortBase, 2, 0x340f);
  EXPECT_EQ(get(0x3d4, 0x0f), 0x34);
}

TEST_F(VgaTest, CrtcProtectBitGuardsRegisters0To7ButLineCompareBit8) {
  out(0x3c2, 0x01);
  set_crtc(0x01, 0x4f);
  set_crtc(0x11, 0x80);
  set_crtc(0x01, 0x27);
  set_crtc(0x07, 0xff);
  EXPECT_EQ(get(0x3d4, 0x01), 0x4f);
  EXPECT_EQ(get(0x3d4, 0x07), 0x10);
  set_crtc(0x12, 0x8f);
  EXPECT_EQ(get(0x3d4, 0x12), 0x8f);
}

TEST_F(VgaTest, AttributeFlipFlopIsResetByInputStatus1) {
  out(0x3c2, 0x01);
  in(0x3da);
  out(0x3c0, 0x01);  // index; palette belongs to the CPU
  out(0x3c0, 0x2a);
  out(0x3c0, 0x01);  // index again; flip-flop now wants data
  in(0x3da);
  out(0x3c0, 0x02);  // so this is an index
  out(0x3c0, 0x15);
  out(0x3c0, 0x01);
  EXPECT_EQ(in(0x3c1), 0x2a);
  in(0x3da);
  out(0x3c0, 0x02);
  EXPECT_EQ(in(0x3c1), 0x15);
}

TEST_F(VgaTest, PaletteIsReadOnlyWhileTheDisplayOwnsIt) {
  out(0x3c2, 0x01);
  in(0x3da);
  out(0x3c0, 0x23);
  out(0x3c0, 0x3f);
  out(0x3c0, 0x23);
  EXPECT_EQ(in(0x3c1), 0x00);
}

TEST_F(VgaTest, DacIndexAdvancesAfterBlueOnly) {
  set_dac(7, 0x3f, 0x20, 0xc1);
  EXPECT_EQ(in(0x3c7), 0);
  EXPECT_EQ(in(0x3c8), 8);
  out(0x3c7, 7);
  EXPECT_EQ(in(0x3c7), 3);
  EXPECT_EQ(in(0x3c9), 0x3f);
  EXPECT_EQ(in(0x3c8), 7);
  EXPECT_EQ(in(0x3c9), 0x20);
  EXPECT_EQ(in(0x3c9), 0x01);  // six bits are kept
  EXPECT_EQ(in(0x3c8), 8);
}

TEST_F(VgaTest, IndexedRegistersKeepOnlyTheBitsTheyHave) {
  set_sequencer(2, 0xff);
  EXPECT_EQ(get(0x3c4, 2), 0x0f);
  set_graphics(5, 0xff);
  EXPECT_EQ(get(0x3ce, 5), 0x7b);
  EXPECT_EQ(get(0x3ce, 0x20), 0);
}

TEST_F(VgaTest, RetraceFollowsGuestTime) {
  set_mode(kMode3);
  // 449 lines of 900 dots at 28.322 MHz: 14.268 ms a frame; retrace at lines 412 and 413.
  constexpr double kLineNs = 900 / 28.322e6 * 1e9;
  clock.set(static_cast<VirtualNs>(100.1 * kLineNs));
  EXPECT_EQ(in(0x3da), 0);
  clock.set(static_cast<VirtualNs>(100.95 * kLineNs));
  EXPECT_EQ(in(0x3da), 1);
  clock.set(static_cast<VirtualNs>(405 * kLineNs));
  EXPECT_EQ(in(0x3da), 1);
  clock.set(static_cast<VirtualNs>(413.5 * kLineNs));
  EXPECT_EQ(in(0x3da), 9);
  clock.set(static_cast<VirtualNs>((449 + 412.5) * kLineNs));
  EXPECT_EQ(in(0x3da), 9);
  clock.set(static_cast<VirtualNs>((449 + 414.5) * kLineNs));
  EXPECT_EQ(in(0x3da), 1);
}

TEST_F(VgaTest, RetraceComesWhateverIsProgrammed) {
  out(0x3c2, 0x01);
  for (uint8_t i = 0; i < 25; ++i) set_crtc(i, 0xff);
  bool seen = false;
  bool seen_off = false;
  for (int i = 0; i < 100'000; ++i) {
    clock.advance(10'000);
    ((in(0x3da) & 8) != 0 ? seen : seen_off) = true;
  }
  EXPECT_TRUE(seen);
  EXPECT_TRUE(seen_off);
}

TEST_F(VgaTest, StateSurvivesSaveAndLoad) {
  set_mode(kMode12);
  set_dac(200, 1, 2, 3);
  set_sequencer(2, 0x0f);
  poke(0xa1234, 0x5a);
  set_dispi(VbeDispi::kXRes, 1024);
  StateArchive saved;
  vga.state(saved);
  const std::vector<uint8_t> bytes = saved.bytes();

  vga.reset();
  EXPECT_NE(get(0x3ce, 6), 5);
  StateArchive loaded(bytes);
  vga.state(loaded);
  EXPECT_EQ(get(0x3ce, 6), 5);
  EXPECT_EQ(peek(0xa1234), 0x5a);
  EXPECT_EQ(get_dispi(VbeDispi::kXRes), 1024);
  out(0x3c7, 200);
  EXPECT_EQ(in(0x3c9), 1);
}

}  // namespace
}  // namespace vireo
