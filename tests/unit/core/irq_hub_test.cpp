#include "core/irq_hub.h"

#include <gtest/gtest.h>

namespace vireo {
namespace {

TEST(IrqHub, AWireIsTheOrOfItsSources) {
  std::vector<std::pair<unsigned, bool>> heard;
  IrqHub hub(16, [&](unsigned wire, bool level) { heard.emplace_back(wire, level); });
  IrqLine a = hub.line(11), b = hub.line(11), other = hub.line(5);
  a.raise();
  b.raise();
  a.lower();
  EXPECT_TRUE(hub.level(11));
  other.raise();
  b.lower();
  EXPECT_EQ(heard, (std::vector<std::pair<unsigned, bool>>{{11, true}, {5, true}, {11, false}}));
}

TEST(IrqHub, LevelsSurviveSaveAndLoad) {
  IrqHub hub(16, [](unsigned, bool) {});
  IrqLine line = hub.line(9);
  line.raise();
  StateArchive out;
  out.field("hub", hub);
  out.field("line", line);

  unsigned changes = 0;
  IrqHub restored(16, [&](unsigned, bool) { ++changes; });
  IrqLine restored_line = restored.line(9);
  StateArchive in(out.bytes());
  in.field("hub", restored);
  in.field("line", restored_line);
  EXPECT_TRUE(restored.level(9));
  EXPECT_EQ(changes, 0u);
  restored_line.lower();
  EXPECT_EQ(changes, 1u);
}

}  // namespace
}  // namespace vireo
