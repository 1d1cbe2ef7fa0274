// Engines that change while the machine runs, with engines that do as they are told.
#include "core/machine/engine_switch.h"

#include <deque>
#include <functional>

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
    if (on_run) on_run();
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
  std::vector<DeviceAccess> open_accesses() const override { return open; }
  void visit_stats(const std::function<void(std::string_view, uint64_t)>&) const override {}

  std::deque<ExitReason> answers;
  unsigned runs = 0;
  uint64_t executed = 0;
  bool lost = false;
  std::vector<DeviceAccess> open;
  std::function<void()> on_run;

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

/// The hardware changes one byte of a page with code, which it tells nobody of.
class StoresOfHardwareTest : public EngineSwitchTest, public MemoryListener {
 protected:
  static constexpr uint64_t kOfCode = 0x9000;

  StoresOfHardwareTest() : owner_(*memory) {
    memory->mark_code({kOfCode}, owner_);
    memory->add_listener(*this);
    make(false);
    hardware->on_run = [&] { ++memory->ram()[kOfCode + 5]; };
  }
  ~StoresOfHardwareTest() override { memory->remove_listener(*this); }
  void on_code_written(Gpa start, uint64_t size, Writer) override {
    EXPECT_EQ(start, Gpa{kOfCode + 5});
    EXPECT_EQ(size, 1u);
    ++told;
  }
  void on_layout_changed() override { ++all_stale; }

  CodeOwner owner_;
  unsigned told = 0, all_stale = 0;
};

TEST_F(StoresOfHardwareTest, AreToldBeforeSoftwareRuns) {
  software->on_run = [&] { EXPECT_GT(told, 0u); };
  engine->run({});
  engine->run({});
  EXPECT_EQ(told, 0u);
  hardware->answers = {ExitReason::kCannotRun};
  engine->run({});
  EXPECT_EQ(told, 1u);
  hardware->answers = {ExitReason::kCannotRun};
  engine->run({});
  EXPECT_EQ(told, 2u);
  EXPECT_EQ(all_stale, 0u) << "code that has not changed stays";
}

TEST_F(StoresOfHardwareTest, AreToldBeforeAnotherEngineHasItsTurn) {
  std::vector<std::unique_ptr<ExecutionEngine>> engines;
  engines.push_back(std::move(engine));
  auto other = std::make_unique<ScriptedEngine>(cpu, "interp", true);
  other->on_run = [&] { EXPECT_EQ(told, hardware->runs); };
  engines.push_back(std::move(other));
  RotatingEngine rotating(context, std::move(engines), 1);
  for (int i = 0; i < 10; ++i) rotating.run({cpu.retired + 1});
  EXPECT_EQ(told, 5u);
  EXPECT_EQ(all_stale, 0u);
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

/// The hardware breaks in the middle of the instruction at kCode, whose accesses to devices are `open`.
class UnfinishedInstructionTest : public EngineSwitchTest {
 protected:
  using Space = DeviceAccess::Space;

  UnfinishedInstructionTest() {
    make(true);
    hardware->answers = {ExitReason::kBroken};
    cpu.reg(Gpr::kRdx) = 0x80;
    echo.last_value = 0x10;
  }
  /// What follows is for the next run.
  void break_at(std::initializer_list<uint8_t> code, std::vector<DeviceAccess> open) {
    put(kCode, code);
    hardware->open = std::move(open);
    EXPECT_EQ(engine->run({}), ExitReason::kAttention);
    EXPECT_EQ(software->runs, 0u);
  }
};

TEST_F(UnfinishedInstructionTest, DoesNotReadAgain) {
  break_at({0xe4, 0x80}, {{Space::kPorts, false, 0x80, 1, 0x5a}});  // in al, 80h
  EXPECT_EQ(cpu.rip, 2u);
  EXPECT_EQ(reg(Gpr::kRax) & 0xff, 0x5au);
  EXPECT_EQ(echo.reads, 0u);
  ports.read(0x80, 1);
  EXPECT_EQ(echo.reads, 1u) << "that is over";
}

TEST_F(UnfinishedInstructionTest, DoesNotWriteAgain) {
  cpu.reg(Gpr::kRax) = 0x77;
  break_at({0xe6, 0x81}, {{Space::kPorts, true, 0x81, 1, 0x77}});  // out 81h, al
  EXPECT_EQ(cpu.rip, 2u);
  EXPECT_EQ(echo.writes, 0u);
}

TEST_F(UnfinishedInstructionTest, WritesWhatHasNotBeenWritten) {
  cpu.reg(Gpr::kRax) = 0x77;
  break_at({0xe6, 0x81}, {{Space::kPorts, true, 0x81, 1, 0x78}});
  EXPECT_EQ(echo.writes, 1u);
  EXPECT_EQ(echo.last_value, 0x77u);
}

TEST_F(UnfinishedInstructionTest, FindsMemoryOfDevices) {
  interp::EchoPorts device;
  memory->map_mmio({0x7000'0000}, kPageSize, device, "device");
  cpu.segment(SegReg::kDs).base = 0x7000'0000;
  // add [8], ax: reads, and writes
  break_at({0x01, 0x06, 0x08, 0x00}, {{Space::kMemory, false, 0x7000'0008, 2, 0x1234}});
  EXPECT_EQ(device.reads, 0u);
  EXPECT_EQ(device.writes, 1u);
  EXPECT_EQ(device.last_value, 0x1234u + (reg(Gpr::kRax) & 0xffff));
}

TEST_F(UnfinishedInstructionTest, GoesOnBehindWhatARepeatedOneHasRead) {
  cpu.reg(Gpr::kRcx) = 3;
  cpu.reg(Gpr::kRdi) = 0x600;
  // Neither of them before the elements are where they belong.
  interrupts.vector = 0x21;
  cpu.rflags |= rflags::kIf;
  attention.request(Attention::kInterrupt);
  attention.request(Attention::kExit);
  break_at({0xf3, 0x6c},  // rep insb
           {{Space::kPorts, false, 0x80, 1, 0x5a}, {Space::kPorts, false, 0x80, 1, 0x5b}});
  EXPECT_EQ(memory->ram()[cpu.segment(SegReg::kEs).base + 0x600], 0x5au);
  EXPECT_EQ(memory->ram()[cpu.segment(SegReg::kEs).base + 0x601], 0x5bu);
  EXPECT_EQ(reg(Gpr::kRcx), 1u);
  EXPECT_EQ(cpu.rip, 0u);
  EXPECT_EQ(echo.reads, 0u);
  EXPECT_TRUE(interrupts.vector.has_value());
  EXPECT_NE(attention.bits() & Attention::kExit, 0u);
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
