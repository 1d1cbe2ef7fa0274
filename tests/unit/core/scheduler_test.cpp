#include "core/scheduler.h"

#include <gtest/gtest.h>

#include <vector>

namespace vireo {
namespace {

class SchedulerTest : public testing::Test {
 protected:
  std::function<void()> note(int n) {
    return [this, n] { fired_.push_back(n); };
  }
  FakeClock clock_;
  Scheduler scheduler_{clock_};
  std::vector<int> fired_;
};

TEST_F(SchedulerTest, FiresWhatIsDueInOrderOfDeadlineThenCreation) {
  Timer a(scheduler_, note(1)), b(scheduler_, note(2)), c(scheduler_, note(3)), d(scheduler_, note(4));
  a.arm_at(30);
  c.arm_at(10);
  b.arm_at(10);
  d.arm_at(31);
  EXPECT_EQ(scheduler_.next_deadline(), 10);
  clock_.set(30);
  scheduler_.run_due();
  EXPECT_EQ(fired_, (std::vector<int>{2, 3, 1}));
  EXPECT_FALSE(a.armed());
  EXPECT_TRUE(d.armed());
  EXPECT_EQ(scheduler_.next_deadline(), 31);
}

TEST_F(SchedulerTest, NothingArmedMeansNoDeadline) {
  EXPECT_EQ(scheduler_.next_deadline(), std::nullopt);
  {
    Timer gone(scheduler_, note(1));
    gone.arm_after(5);
    EXPECT_EQ(scheduler_.next_deadline(), 5);
  }
  EXPECT_EQ(scheduler_.next_deadline(), std::nullopt);
  clock_.set(100);
  scheduler_.run_due();
  EXPECT_TRUE(fired_.empty());
}

TEST_F(SchedulerTest, RearmedToThePastFiresInTheSameCall) {
  int count = 0;
  Timer* self = nullptr;
  Timer periodic(scheduler_, [&] {
    ++count;
    self->arm_at(self->deadline() + 10);
  });
  self = &periodic;
  periodic.arm_at(10);
  clock_.set(35);
  scheduler_.run_due();
  EXPECT_EQ(count, 3);
  EXPECT_EQ(scheduler_.next_deadline(), 40);
}

TEST_F(SchedulerTest, ACallbackCanDisarmAnother) {
  Timer victim(scheduler_, note(2));
  Timer killer(scheduler_, [&] { victim.disarm(); });
  killer.arm_at(1);
  victim.arm_at(2);
  clock_.set(5);
  scheduler_.run_due();
  EXPECT_TRUE(fired_.empty());
}

TEST_F(SchedulerTest, HookHearsOnlyOfEarlierDeadlines) {
  int calls = 0;
  scheduler_.set_earlier_deadline_hook([&] { ++calls; });
  Timer a(scheduler_, note(1)), b(scheduler_, note(2));
  a.arm_at(100);
  EXPECT_EQ(calls, 1);
  b.arm_at(200);
  EXPECT_EQ(calls, 1);
  b.arm_at(50);
  EXPECT_EQ(calls, 2);
}

TEST_F(SchedulerTest, TimerStateSurvivesSaveAndLoad) {
  Timer saved(scheduler_, note(1)), idle(scheduler_, note(2));
  saved.arm_at(70);
  StateArchive out;
  out.field("saved", saved);
  out.field("idle", idle);
  saved.disarm();
  idle.arm_at(20);
  StateArchive in(out.bytes());
  in.field("saved", saved);
  in.field("idle", idle);
  EXPECT_FALSE(idle.armed());
  ASSERT_TRUE(saved.armed());
  EXPECT_EQ(saved.deadline(), 70);
}

}  // namespace
}  // namespace vireo
