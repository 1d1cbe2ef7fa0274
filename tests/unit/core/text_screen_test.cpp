#include <gtest/gtest.h>

#include "core/host_io.h"

namespace vireo {
namespace {

TEST(TextScreen, Utf8OfCodePage437WithoutTrailingBlanks) {
  TextScreen screen{.columns = 6, .rows = 2, .cells = std::vector<TextScreen::Cell>(12)};
  const uint8_t first[] = {0xc9, 0xcd, 'a', 0x81, 0xff, ' '};
  for (unsigned i = 0; i < 6; ++i) screen.cells[i].character = first[i];
  screen.cells[6].character = 0;
  screen.cells[7].character = 0x01;
  screen.cells[8].character = 0x7f;
  EXPECT_EQ(screen.to_utf8(), "╔═aü\n ☺⌂\n");
}

TEST(TextScreen, OffScreenIsEmpty) {
  EXPECT_EQ(TextScreen{}.to_utf8(), "");
}

}  // namespace
}  // namespace vireo
