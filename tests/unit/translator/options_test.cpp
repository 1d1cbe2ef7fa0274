#include "translator/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vireo::translator {
namespace {

using testing::HasSubstr;

TEST(TranslatorOptions, NothingIsTheDefault) {
  const Options options = parse_options("").take();
  EXPECT_EQ(options.hot_threshold, Options{}.hot_threshold);
  EXPECT_TRUE(options.chain);
}

TEST(TranslatorOptions, WordsApplyFromLeftToRight) {
  const Options options = parse_options("hot=0,all-off,chain,cache=8M,block=1").take();
  EXPECT_EQ(options.hot_threshold, 0u);
  EXPECT_EQ(options.code_cache_bytes, 8u << 20);
  EXPECT_EQ(options.max_block_insns, 1u);
  EXPECT_TRUE(options.chain);
  for (bool off :
       {options.inline_lookup, options.pair_calls, options.inline_memory, options.fpu, options.strings,
        options.system, options.page_groups, options.side_exits, options.adapt, options.self_check}) {
    EXPECT_FALSE(off);
  }
}

TEST(TranslatorOptions, EachSwitchHasAnOff) {
  const Options options =
      parse_options(
          "no-chain,no-lookup,no-pairs,no-inline-memory,no-fpu,no-strings,no-system,no-groups,"
          "no-side-exits,no-adapt,no-self-check")
          .take();
  for (bool off : {options.chain, options.inline_lookup, options.pair_calls, options.inline_memory,
                   options.fpu, options.strings, options.system, options.page_groups, options.side_exits,
                   options.adapt, options.self_check}) {
    EXPECT_FALSE(off);
  }
}

TEST(TranslatorOptions, Windows) {
  EXPECT_TRUE(Options{}.windows);
  EXPECT_EQ(parse_options("window-after=0").take().window_after, 0u);
  EXPECT_FALSE(Options{}.window_mappings.has_value());
  EXPECT_EQ(parse_options("window-mappings=1K").take().window_mappings, 1024u);
  EXPECT_FALSE(parse_options("window-mappings=63").ok());
  EXPECT_FALSE(parse_options("no-windows").take().windows);
  EXPECT_FALSE(parse_options("all-off").take().windows);
}

TEST(TranslatorOptions, WhatIsOnAnywayMayBeAskedFor) {
  EXPECT_TRUE(Options{}.trust);
  EXPECT_FALSE(Options{}.trust_asked);
  EXPECT_TRUE(parse_options("no-windows,trust").take().trust_asked);
  EXPECT_FALSE(parse_options("no-windows").take().trust_asked);
  EXPECT_FALSE(parse_options("trust,no-trust").take().trust_asked);
  EXPECT_FALSE(parse_options("trust,all-off").take().trust_asked);
}

TEST(TranslatorOptions, CostsOfTheHostAreMeasuredUnlessTheyAreGiven) {
  EXPECT_FALSE(Options{}.host_costs.has_value());
  EXPECT_EQ(parse_options("signal-cost=7000").take().host_costs->signal, 7000u);
  EXPECT_EQ(parse_options("all-off").take().host_costs->signal, HostCosts{}.signal);
}

TEST(TranslatorOptions, CacheIsWholePages) {
  EXPECT_EQ(parse_options("cache=1048577").take().code_cache_bytes, 1u << 20);
}

TEST(TranslatorOptions, WrongWordsAreErrors) {
  for (std::string_view words :
       {"warp", "no-hot", "no-", "hot", "hot=", "hot=-1", "hot=1x", "block=0", "block=65", "cache=2G",
        "cache=1M M", "chain=1", "hot=99999999999999999999", "chain,,pairs"}) {
    const auto options = parse_options(words);
    ASSERT_FALSE(options) << words;
    EXPECT_EQ(options.error().status, ExitStatus::kUsage);
    EXPECT_THAT(options.error().message, HasSubstr("--translator"));
  }
}

}  // namespace
}  // namespace vireo::translator
