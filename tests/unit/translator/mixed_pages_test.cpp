#include "translator/mixed_pages.h"

#include <gtest/gtest.h>

#include <optional>

namespace vireo::translator {
namespace {

using Advice = MixedPages::Advice;
constexpr uint64_t kPage = 0x5000;

class MixedPagesTest : public testing::Test {
 protected:
  /// Stores, `apart` instructions from each other, until a round ends.
  std::optional<Advice> store_until_advice(uint64_t apart = 10, unsigned wasted = 0) {
    for (unsigned i = 0; i < 1000; ++i) {
      now += apart;
      if (pages.note_store(kPage, wasted, now)) return pages.end_round(kPage, bytes, code, now);
    }
    return std::nullopt;
  }
  uint64_t mix(unsigned wasted = 0) {
    const uint64_t start = now;
    for (unsigned i = 1; i < MixedPages::kRounds; ++i)
      EXPECT_EQ(store_until_advice(10, wasted), Advice::kForget);
    EXPECT_EQ(store_until_advice(10, wasted), Advice::kMix);
    return now - start;
  }

  MixedPages pages;
  std::array<uint8_t, kPageSize> bytes{};
  std::vector<MixedPages::Piece> code{{100, 4}};
  uint64_t now = 1'000'000'000;
};

TEST_F(MixedPagesTest, CodeIsForgottenBeforeItsPageIsMixed) {
  EXPECT_EQ(mix(), 10u * MixedPages::kStoresPerRound * MixedPages::kRounds);
  EXPECT_EQ(pages.mixed(), std::vector<uint64_t>{kPage});
  EXPECT_EQ(store_until_advice(), std::nullopt) << "it is mixed already";
}

TEST_F(MixedPagesTest, WastedTranslationsCountMoreAndForThemselves) {
  code.clear();
  EXPECT_LT(mix(1), 10u * MixedPages::kStoresPerRound * MixedPages::kRounds / 2);
}

TEST_F(MixedPagesTest, APageThatIsLoadedWithOtherCodeAgainAndAgainIsNotMixed) {
  for (unsigned i = 0; i < 5 * MixedPages::kRounds; ++i) {
    bytes[103] = static_cast<uint8_t>(i);
    EXPECT_EQ(store_until_advice(), Advice::kForget);
  }
}

TEST_F(MixedPagesTest, NorIsOneWithoutTranslatedCode) {
  code.clear();
  for (unsigned i = 0; i < 5 * MixedPages::kRounds; ++i) EXPECT_EQ(store_until_advice(), Advice::kForget);
}

TEST_F(MixedPagesTest, OtherBytesAndOtherCodeMayChange) {
  for (unsigned i = 1; i < MixedPages::kRounds; ++i) {
    bytes[104] = static_cast<uint8_t>(i);
    code = {{100, 4}, {200 + i, 1}};
    EXPECT_EQ(store_until_advice(), Advice::kForget);
  }
  EXPECT_EQ(store_until_advice(), Advice::kMix);
}

TEST_F(MixedPagesTest, RareStoresChangeNothing) {
  EXPECT_EQ(store_until_advice(MixedPages::kRoundTime / 8), std::nullopt);
}

TEST_F(MixedPagesTest, ALoaderFarFromTheLatestDoesNotCount) {
  for (unsigned i = 0; i < 5 * MixedPages::kRounds; ++i) {
    EXPECT_EQ(store_until_advice(), Advice::kForget) << i;
    now += 2 * MixedPages::kRoundTime;
  }
}

TEST_F(MixedPagesTest, APageIsProtectedAgainForLongerAndLonger) {
  mix();
  uint64_t period = MixedPages::kFirstPeriod;
  for (unsigned i = 0; i < 3; ++i) {
    EXPECT_EQ(pages.next_due(), now + period);
    EXPECT_TRUE(pages.take_due(now + period - 1).empty());
    now += period;
    EXPECT_EQ(pages.take_due(now), std::vector<uint64_t>{kPage});
    EXPECT_TRUE(pages.mixed().empty());
    EXPECT_EQ(store_until_advice(), Advice::kMix) << "one round is enough";
    period *= 2;
  }
}

TEST_F(MixedPagesTest, APageThatHasBeenQuietStartsAnew) {
  mix();
  now = pages.next_due();
  EXPECT_EQ(pages.take_due(now).size(), 1u);
  now += 2 * MixedPages::kFirstPeriod;
  mix();
  EXPECT_EQ(pages.next_due(), now + MixedPages::kFirstPeriod);
}

TEST_F(MixedPagesTest, BytesThatKeepChangingAreKnownWhileThePageIsMixed) {
  for (unsigned i = 0; i < MixedPages::kChanges; ++i) pages.note_change(kPage + 7);
  EXPECT_FALSE(pages.keeps_changing(kPage, 16)) << "the page is not mixed";
  mix();
  for (unsigned i = 1; i < MixedPages::kChanges; ++i) pages.note_change(kPage + 7);
  EXPECT_FALSE(pages.keeps_changing(kPage + 7, 1));
  pages.note_change(kPage + 7);
  EXPECT_TRUE(pages.keeps_changing(kPage + 7, 1));
  EXPECT_TRUE(pages.keeps_changing(kPage, 8));
  EXPECT_FALSE(pages.keeps_changing(kPage, 7));
  EXPECT_FALSE(pages.keeps_changing(kPage + 8, 8));
  pages.take_due(pages.next_due());
  EXPECT_FALSE(pages.keeps_changing(kPage, 16));
}

TEST_F(MixedPagesTest, ClearForgetsAll) {
  mix();
  pages.clear();
  EXPECT_TRUE(pages.mixed().empty());
  EXPECT_EQ(pages.next_due(), ~uint64_t{0});
  EXPECT_EQ(store_until_advice(), Advice::kForget);
}

}  // namespace
}  // namespace vireo::translator
