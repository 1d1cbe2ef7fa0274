#include "frontend-headless/input_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace vireo {
namespace {

using namespace std::chrono_literals;

class InputWatchTest : public testing::Test {
 protected:
  InputWatchTest() {
    EXPECT_EQ(pipe(one), 0);
    EXPECT_EQ(pipe(two), 0);
  }
  ~InputWatchTest() override {
    watch.reset();
    for (int fd : {one[0], one[1], two[0], two[1]}) close(fd);
  }

  static void put(const int (&pipe)[2]) { EXPECT_EQ(write(pipe[1], "x", 1), 1); }
  static void take(const int (&pipe)[2]) {
    char byte;
    EXPECT_EQ(read(pipe[0], &byte, 1), 1);
  }
  bool called(int times) {
    for (int i = 0; i < 10000 && calls < times; ++i) std::this_thread::sleep_for(1ms);
    return calls == times;
  }

  int one[2], two[2];
  std::atomic<int> calls = 0;
  std::unique_ptr<InputWatch> watch = InputWatch::create([this] { ++calls; }).take();
};

TEST_F(InputWatchTest, CallsOnceForEachWait) {
  put(one);
  watch->wait_for(std::vector{one[0]});
  EXPECT_TRUE(called(1));
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, 1);  // it is still readable
  watch->wait_for(std::vector{one[0]});
  EXPECT_TRUE(called(2));
  take(one);
  watch->wait_for(std::vector{one[0]});
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, 2);
  put(one);
  EXPECT_TRUE(called(3));
}

TEST_F(InputWatchTest, WaitsForTheLatestList) {
  watch->wait_for(std::vector{one[0]});
  watch->wait_for(std::vector{two[0]});
  std::this_thread::sleep_for(20ms);
  put(one);
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, 0);
  put(two);
  EXPECT_TRUE(called(1));
  watch->wait_for({});
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(calls, 1);
}

TEST_F(InputWatchTest, SeesTheOtherEndClose) {
  watch->wait_for(std::vector{one[0]});
  close(one[1]);
  EXPECT_TRUE(called(1));
  one[1] = dup(one[0]);
}

TEST_F(InputWatchTest, EndsWhileWaiting) {
  watch->wait_for(std::vector{one[0], two[0]});
  watch.reset();
  put(one);
  EXPECT_EQ(calls, 0);
}

}  // namespace
}  // namespace vireo
