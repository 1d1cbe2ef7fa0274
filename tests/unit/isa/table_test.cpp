// The instruction table itself.
#include <gtest/gtest.h>

#include "core/isa/decode.h"
#include "core/isa/insn_row.h"

namespace vireo::isa {
namespace {

TEST(InsnTable, NoTwoRowsClaimTheSameEncoding) {
  EXPECT_EQ(find_table_conflict(), "");
}

TEST(InsnTable, EveryMnemonicHasARow) {
  std::vector<bool> seen(kMnemonicCount);
  for (const InsnRow& row : rows()) seen[static_cast<size_t>(row.mnemonic)] = true;
  for (size_t i = 0; i < kMnemonicCount; i++) EXPECT_TRUE(seen[i]) << kMnemonicNames[i];
}

}  // namespace
}  // namespace vireo::isa
