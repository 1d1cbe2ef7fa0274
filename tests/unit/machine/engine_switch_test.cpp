// Engines that change while the machine runs, with engines that do as they are told.
#include "core/machine/engine_switch.h"

#include <deque>

#include "tests/unit/interp/bench.h"

namespace vireo {
namespace {

/// Says what it has been given to say; then, that its limit has been reached.
class ScriptedEngine final : public ExecutionEngine {
 public:
  ScriptedEngine(CpuState& cpu, std::string_view name, bool counts)
      : cpu_(cpu), name_(name), counts_(counts) {}
  std::string_view name() const override { return name_; }
  ExitReason run(const RunLimits& limits) override {
    ++runs;
    if (!answers.empty()) {
      const ExitReason answer = answers.front();
      answers.pop_front();
      return answer;
    }
    if (!counts_) return ExitReason::kAttention;
    executed += limits.retired - cpu_.retired;
    cpu_.retired = limits.retired;
    return ExitReason::kRetiredLimit;
  }
  bool counts_instructions() const override { return counts_; }
  std::string broken() const override { return "KVM_RUN failed"; }
  bool state_lost() const override { return lost; }
  void visit_stats(const std::function<void(std::string_view, uint64_t)>&) const override {}

  std::deque<ExitReason> answers;
  unsigned runs = 0;
  uint64_t executed = 0;
  bool lost = false;

 private:
  CpuState& cpu_;
  const std::string_view name_;
  const bool counts_;
};

class EngineSwitchTest : public interp::CpuBench {
 protected:
  void make(bool keep_going) {
    auto h = std::make_unique<ScriptedEngine>(cpu, "hw", false);
    auto s = std::make_unique<ScriptedEngine>(cpu, "bt", true);
    hardware = h.get();
    software = s.get();
    engine = std::make_unique<AssistedEngine>(context, std::move(h), std::move(s), keep_going);
  }

  ScriptedEngine* hardware = nullptr;
  ScriptedEngine* software = nullptr;
  std::unique_ptr<AssistedEngine> engine;
};

TEST_F(EngineSwitchTest, SoftwareExecutesWhatHardwareCannot) {
  make(false);
  hardware->answers = {ExitReason::kAttention, ExitReason::kCannotRun};
  EXPECT_EQ(engine->run({}), ExitReason::kAttention);
  EXPECT_EQ(software->runs, 0u);
  EXPECT_EQ(engine->run({}), ExitReason::kAttention);
  EXPECT_EQ(software->runs, 1u);
  EXPECT_GE(software->executed, 1u);
  EXPECT_EQ(engine->name(), "hw");
  engine->run({});
  EXPECT_EQ(hardware->runs, 3u);
}

TEST_F(EngineSwitchTest, WhatFailsAgainAndAgainGetsLongerTurnsOfSoftware) {
  make(false);
  uint64_t before = 0;
  for (int i = 0; i < 20; ++i) {
    hardware->answers = {ExitReason::kCannotRun};
    engine->run({});
    const uint64_t turn = software->executed - before;
    EXPECT_GE(turn, i == 0 ? 1u : turn);
    before = software->executed;
  }
  EXPECT_GT(software->executed, 100'000u);
  // And when it has not failed for long, short ones again.
  for (int i = 0; i < 20; ++i) engine->run({});
  hardware->answers = {ExitReason::kCannotRun};
  engine->run({});
  EXPECT_EQ(software->executed - before, 1u);
}

TEST_F(EngineSwitchTest, ATurnOfSoftwareGoesOnOverSeveralRuns) {
  make(false);
  hardware->answers = {ExitReason::kCannotRun};
  software->answers = {ExitReason::kHalt};
  EXPECT_EQ(engine->run({}), ExitReason::kHalt);
  EXPECT_EQ(engine->run({}), ExitReason::kAttention);
  EXPECT_EQ(software->runs, 2u);
  EXPECT_EQ(hardware->runs, 1u);
  EXPECT_EQ(engine->name(), "hw") << "which software only helps";
  engine->run({});
  EXPECT_EQ(hardware->runs, 2u);
}

TEST_F(EngineSwitchTest, WhenHardwareBreaksSoftwareGoesOnIfItMay) {
  make(true);
  hardware->answers = {ExitReason::kBroken};
  EXPECT_EQ(engine->run({}), ExitReason::kAttention);
  EXPECT_EQ(engine->name(), "bt");
  EXPECT_TRUE(engine->counts_instructions());
  EXPECT_EQ(engine->run({cpu.retired + 1000}), ExitReason::kRetiredLimit);
  EXPECT_EQ(hardware->runs, 1u);
}

TEST_F(EngineSwitchTest, OrTheMachineStops) {
  make(false);
  hardware->answers = {ExitReason::kBroken};
  EXPECT_EQ(engine->run({}), ExitReason::kBroken);
  EXPECT_EQ(engine->broken(), "KVM_RUN failed");
}

TEST_F(EngineSwitchTest, NobodyGoesOnFromAStateThatIsLost) {
  make(true);
  hardware->answers = {ExitReason::kBroken};
  hardware->lost = true;
  EXPECT_EQ(engine->run({}), ExitReason::kBroken);
}

TEST_F(EngineSwitchTest, EnginesTakeTurns) {
  std::vector<std::unique_ptr<ExecutionEngine>> engines;
  std::vector<const ScriptedEngine*> scripted;
  for (const std::string_view name : {"a", "b", "c"}) {
    auto made = std::make_unique<ScriptedEngine>(cpu, name, true);
    scripted.push_back(made.get());
    engines.push_back(std::move(made));
  }
  RotatingEngine rotating(context, std::move(engines), 2);
  EXPECT_EQ(rotating.name(), "a, b, c");
  std::string names;
  for (int i = 0; i < 8; ++i) {
    std::vector<unsigned> before;
    for (const auto* e : scripted) before.push_back(e->runs);
    rotating.run({cpu.retired + 10});
    for (size_t e = 0; e < scripted.size(); ++e) {
      if (scripted[e]->runs != before[e]) names += scripted[e]->name();
    }
  }
  EXPECT_EQ(names, "aabbccaa");
}

}  // namespace
}  // namespace vireo
