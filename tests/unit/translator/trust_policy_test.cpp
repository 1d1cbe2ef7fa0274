// Whose probes trust.
#include "translator/trust_policy.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "tests/unit/translator/address_spaces.h"

namespace vireo::translator {
namespace {

constexpr uint64_t kAfter = uint64_t{1} << 20;
/// In kAfter instructions: more than can pay, and few enough.
constexpr unsigned kManyFills = 50, kFewFills = 30;

class TrustPolicyTest : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto can = TrustPolicy::possible(); !can) GTEST_SKIP() << can.error().message;
    create(kAfter);
  }
  void create(uint64_t after, const HostCosts& costs = {}) {
    policy_ = TrustPolicy::create(*spaces_.mmu, after, costs).take();
  }
  bool kernel() { return policy_->enter(Privilege::kSupervisor, retired_); }
  bool program() { return policy_->enter(Privilege::kUser, retired_); }
  /// By what is running. True if it has changed what that does.
  bool execute(uint64_t instructions, unsigned fills = 0) {
    for (unsigned i = 0; i < fills; ++i) policy_->count_fill();
    return execute_quietly(instructions);
  }
  /// The same with probes that trust.
  bool execute_trusting(uint64_t instructions, unsigned signals) {
    for (unsigned i = 0; i < signals; ++i) policy_->count_signal();
    return execute_quietly(instructions);
  }
  bool execute_quietly(uint64_t instructions) {
    retired_ += instructions;
    return policy_->look(retired_);
  }
  uint64_t counter(const std::string& name) const {
    std::map<std::string, uint64_t> all;
    policy_->visit_stats([&](std::string_view n, uint64_t value) { all[std::string(n)] = value; });
    return all.at(name);
  }

  AddressSpaces spaces_;
  std::unique_ptr<TrustPolicy> policy_;
  uint64_t retired_ = 0;
};

TEST_F(TrustPolicyTest, WhoExecutesMuchAndFillsLittleTrusts) {
  EXPECT_FALSE(program());
  EXPECT_FALSE(execute(kAfter - 1));
  EXPECT_TRUE(execute(1));
  EXPECT_TRUE(program());
  EXPECT_FALSE(kernel()) << "what programs execute does not count for the kernel";
  EXPECT_EQ(counter("probes that trust/begun"), 1u);
}

TEST_F(TrustPolicyTest, OnlyWhatThePrivilegeExecutesInTheSpaceCounts) {
  for (unsigned i = 0; i < 16; ++i) {
    program();
    retired_ += kAfter / 32;
    kernel();
    retired_ += kAfter / 64;
    program();
    EXPECT_FALSE(execute(0)) << i;
  }
  spaces_.load_space(1);
  program();
  EXPECT_FALSE(execute(kAfter / 2)) << "another address space";
  spaces_.load_space(0);
  program();
  EXPECT_FALSE(execute(kAfter / 2 - 1));
  EXPECT_TRUE(execute(1));
  kernel();
  EXPECT_FALSE(execute(kAfter * 3 / 4 - 1));
  EXPECT_TRUE(execute(1));
}

TEST_F(TrustPolicyTest, FillsCountForWhoMakesThem) {
  kernel();
  EXPECT_FALSE(execute(0, kManyFills));
  program();
  EXPECT_TRUE(execute(kAfter, kFewFills));
  kernel();
  EXPECT_FALSE(execute(kAfter)) << "it has filled too much";
  EXPECT_TRUE(execute(kAfter)) << "but not since";
}

TEST_F(TrustPolicyTest, WhoFillsMuchTrustsNoLongerAndWaitsTwiceAsLong) {
  program();
  ASSERT_TRUE(execute(kAfter));
  EXPECT_FALSE(execute_trusting(kAfter, kFewFills));
  EXPECT_TRUE(program());
  EXPECT_TRUE(execute_trusting(kAfter, kManyFills));
  EXPECT_FALSE(program());
  EXPECT_EQ(counter("probes that trust/ended"), 1u);
  EXPECT_FALSE(execute(2 * kAfter - 1));
  EXPECT_TRUE(execute(1));
  EXPECT_TRUE(execute_trusting(2 * kAfter, 2 * kManyFills));
  EXPECT_FALSE(execute(4 * kAfter - 1));
  EXPECT_TRUE(execute(1));
  EXPECT_FALSE(execute(4 * kAfter)) << "it was worth it";
  EXPECT_TRUE(execute_trusting(kAfter, kManyFills));
  EXPECT_FALSE(execute(2 * kAfter - 1));
  EXPECT_TRUE(execute(1));
}

TEST_F(TrustPolicyTest, FillsByProbesThatCheckDoNotCountAgainstTheOthers) {
  program();
  ASSERT_TRUE(execute(kAfter));
  EXPECT_FALSE(execute(kAfter, kManyFills));
  EXPECT_TRUE(program());
}

TEST_F(TrustPolicyTest, WhereSignalsAreDearFewArePermitted) {
  create(kAfter, {.signal = 10 * HostCosts{}.signal});
  program();
  EXPECT_FALSE(execute(kAfter, kFewFills));
  EXPECT_TRUE(execute(kAfter, kFewFills / 10));
  EXPECT_FALSE(execute_trusting(kAfter, kFewFills / 10));
  EXPECT_TRUE(execute_trusting(kAfter, kFewFills));
  EXPECT_FALSE(program());
}

TEST_F(TrustPolicyTest, WhoOnlyTouchesNewPagesLosesItSoon) {
  program();
  ASSERT_TRUE(execute(kAfter));
  unsigned pages = 0;
  bool changed = false;
  while (!changed && pages < 1000) {
    program();
    policy_->count_signal();
    retired_ += 10;
    kernel();
    changed = execute(2500);
    ++pages;
  }
  EXPECT_LE(pages, kManyFills);
  EXPECT_FALSE(program());
}

TEST_F(TrustPolicyTest, TheSupervisorIsTheSameInAllSpaces) {
  kernel();
  EXPECT_FALSE(execute(kAfter / 2));
  spaces_.load_space(1);
  kernel();
  EXPECT_TRUE(execute(kAfter / 2));
  spaces_.load_space(2);
  EXPECT_TRUE(kernel());
  EXPECT_FALSE(program());
}

TEST_F(TrustPolicyTest, AnAddressSpaceThatTakesTheRoomOfAnotherBeginsAnew) {
  program();
  ASSERT_TRUE(execute(kAfter));
  spaces_.load_space(1);
  EXPECT_FALSE(program());
  spaces_.load_space(0);
  EXPECT_TRUE(program()) << "it has been kept";
  const unsigned room = spaces_.mmu->space();
  unsigned other = 1;
  do {
    spaces_.load_space(other);
  } while (spaces_.mmu->space() != room && ++other < AddressSpaces::kSpaces);
  ASSERT_LT(other, AddressSpaces::kSpaces);
  EXPECT_FALSE(program());
}

TEST_F(TrustPolicyTest, After0BothAlwaysTrust) {
  create(0);
  for (const unsigned space : {0, 1}) {
    spaces_.load_space(space);
    EXPECT_TRUE(kernel());
    EXPECT_FALSE(execute_trusting(kAfter, kManyFills));
    EXPECT_TRUE(program());
    EXPECT_FALSE(execute_trusting(kAfter, kManyFills));
    EXPECT_TRUE(program());
    EXPECT_TRUE(kernel());
  }
}

}  // namespace
}  // namespace vireo::translator
