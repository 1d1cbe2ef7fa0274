#include "hwassist/child_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

namespace vireo::hwassist {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(ChildProcess, GivesWhatTheWorkReturns) {
  const std::string long_text(200'000, 'x');
  const auto result = in_child_process(milliseconds(10'000), [&] { return long_text; });
  ASSERT_TRUE(result.ok()) << result.error().message;
  EXPECT_EQ(result.value(), long_text);
}

TEST(ChildProcess, WhatHangsIsEnded) {
  const auto start = steady_clock::now();
  const auto result = in_child_process(milliseconds(100), []() -> std::string {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, nullptr);
    for (;;) pause();
  });
  EXPECT_LT(steady_clock::now() - start, std::chrono::seconds(5));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message, "did not end within 0.1 s");
  EXPECT_EQ(result.error().status, ExitStatus::kHostCannot);
}

TEST(ChildProcess, WhatCrashesHarmsNobodyElse) {
  const auto result = in_child_process(milliseconds(10'000), []() -> std::string {
    raise(SIGKILL);
    return "not reached";
  });
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().message, "died of signal 9");
}

}  // namespace
}  // namespace vireo::hwassist
