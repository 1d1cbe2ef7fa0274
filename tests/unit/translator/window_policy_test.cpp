// Who gets a window, and who loses it.
#include "translator/window_policy.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string_view>

#include "tests/unit/translator/address_spaces.h"

namespace vireo::translator {
namespace {

constexpr uint64_t kAfter = uint64_t{1} << 20;

uint64_t counter_of(const WindowPolicy& policy, std::string_view name) {
  uint64_t found = ~uint64_t{0};
  policy.visit_stats([&](std::string_view n, uint64_t value) { found = n == name ? value : found; });
  return found;
}

class WindowPolicyTest : public testing::Test {
 protected:
  void SetUp() override { policy_ = WindowPolicy::create(*memory_, *mmu_, kAfter, HostCosts{}).take(); }
  uint64_t enter(Privilege privilege) { return policy_->enter(privilege, retired_); }
  uint64_t kernel() { return enter(Privilege::kSupervisor); }
  uint64_t program() { return enter(Privilege::kUser); }
  void load_space(unsigned space) { spaces_.load_space(space); }
  /// What is running executes `instructions` at `rip`, and looks.
  bool execute(uint64_t instructions, uint64_t rip, Privilege privilege) {
    EXPECT_FALSE(mmu_->fill({rip}, Access::kExecute, privilege));
    retired_ += instructions;
    return policy_->look(rip, retired_);
  }
  bool execute_kernel(uint64_t instructions) {
    kernel();
    return execute(instructions, kKernel, Privilege::kSupervisor);
  }
  bool execute_program(uint64_t instructions) {
    program();
    return execute(instructions, kProgram, Privilege::kUser);
  }
  bool fill(uint64_t linear, Privilege privilege) {
    return !policy_->fill(linear, Access::kRead, privilege).has_value();
  }
  /// The program has filled so much by probes when it gets its window.
  void promote_program_after(unsigned fills) {
    program();
    for (unsigned i = 0; i < fills; ++i) ASSERT_TRUE(fill(kProgram, Privilege::kUser));
    unsigned looks = 0;
    while (!execute_program(kAfter) && looks < 1000) ++looks;
    ASSERT_NE(program(), 0u);
  }
  /// What is running maps a page that it loses at once, so often.
  void work_in_vain(unsigned times) {
    for (unsigned i = 0; i < times; ++i) {
      ASSERT_TRUE(fill(kProgram, Privilege::kUser));
      ASSERT_TRUE(policy_->map(kProgram, false));
      mmu_->invalidate_page({kProgram});
      policy_->settle();
    }
  }
  uint64_t counter(std::string_view name) const { return counter_of(*policy_, name); }

  AddressSpaces spaces_;
  GuestMemory* const memory_ = spaces_.memory.get();
  SoftMmu* const mmu_ = spaces_.mmu.get();
  std::unique_ptr<WindowPolicy> policy_;
  uint64_t retired_ = 0;
};

TEST_F(WindowPolicyTest, WhoExecutesMuchAndFillsLittleGetsAWindow) {
  EXPECT_EQ(program(), 0u);
  EXPECT_FALSE(execute_program(kAfter - 1));
  EXPECT_TRUE(execute_program(1));
  EXPECT_NE(program(), 0u);
  EXPECT_EQ(kernel(), 0u) << "what programs execute does not count for the kernel";
}

TEST_F(WindowPolicyTest, OnlyWhatThePrivilegeExecutesInTheSpaceCounts) {
  for (unsigned i = 0; i < 16; ++i) {
    program();
    retired_ += kAfter / 32;
    kernel();
    retired_ += kAfter;
    EXPECT_FALSE(execute_program(0)) << i;
  }
  load_space(1);
  EXPECT_FALSE(execute_program(kAfter / 2)) << "another address space";
  load_space(0);
  EXPECT_FALSE(execute_program(kAfter / 2 - 1));
  EXPECT_TRUE(execute_program(1));
}

TEST_F(WindowPolicyTest, FillsSayHowMuchMoreAWindowHasToEarn) {
  program();
  for (unsigned i = 0; i < 100; ++i) ASSERT_TRUE(fill(kProgram, Privilege::kUser));
  unsigned looks = 1;
  while (!execute_program(kAfter) && looks < 100) ++looks;
  EXPECT_GE(looks, 3u);
  EXPECT_LE(looks, 6u);
}

TEST_F(WindowPolicyTest, AKernelInGlobalPagesHasOneWindowForAllAddressSpaces) {
  EXPECT_FALSE(execute_kernel(kAfter / 2));
  load_space(1);
  EXPECT_TRUE(execute_kernel(kAfter / 2)) << "what it executes in all of them counts";
  const uint64_t base = kernel();
  EXPECT_NE(base, 0u);
  EXPECT_EQ(counter("windows/shared by all address spaces now"), 1u);
  ASSERT_TRUE(fill(kKernel, Privilege::kSupervisor));
  ASSERT_TRUE(policy_->map(kKernel, false));
  EXPECT_EQ(*reinterpret_cast<const uint8_t*>(base + kKernel), memory_->ram()[kKernel]);
  load_space(2);
  EXPECT_EQ(kernel(), base);
  policy_->settle();
  EXPECT_EQ(counter("windows/fills"), 1u);
  EXPECT_EQ(counter("windows/unmappings"), 0u);
  EXPECT_TRUE(policy_->contains(base + kKernel));
  EXPECT_EQ(program(), 0u);
}

TEST_F(WindowPolicyTest, TheSharedWindowShowsNothingThatIsNotGlobal) {
  ASSERT_TRUE(execute_kernel(kAfter));
  kernel();
  ASSERT_TRUE(fill(kProgram, Privilege::kSupervisor));
  EXPECT_FALSE(policy_->map(kProgram, false));
}

TEST_F(WindowPolicyTest, FillsOfProgramsMemoryAndOfKnownPagesDoNotCountForTheSharedWindow) {
  kernel();
  for (unsigned i = 0; i < 1000; ++i) {
    ASSERT_TRUE(fill(kProgram, Privilege::kSupervisor));
    ASSERT_TRUE(fill(kKernel, Privilege::kSupervisor));
  }
  EXPECT_TRUE(execute_kernel(kAfter + kAfter / 8)) << "but for the first fill";
}

TEST_F(WindowPolicyTest, FillsOfNewGlobalPagesCountForTheSharedWindow) {
  kernel();
  for (uint64_t i = 0; i < 100; ++i) {
    mmu_->invalidate_page({kKernel + i * kPageSize});
    ASSERT_TRUE(fill(kKernel + i * kPageSize, Privilege::kSupervisor));
  }
  EXPECT_FALSE(execute_kernel(kAfter));
  EXPECT_EQ(kernel(), 0u);
}

TEST_F(WindowPolicyTest, AKernelInOtherPagesHasAWindowInTheAddressSpace) {
  spaces_.set_entries(kKernel, 128, kP | kW);
  mmu_->flush();
  EXPECT_FALSE(execute_kernel(kAfter / 2));
  load_space(1);
  EXPECT_FALSE(execute_kernel(kAfter / 2));
  load_space(0);
  EXPECT_TRUE(execute_kernel(kAfter / 2));
  EXPECT_EQ(counter("windows/shared by all address spaces now"), 0u);
  EXPECT_NE(kernel(), 0u);
  load_space(1);
  EXPECT_EQ(kernel(), 0u);
}

TEST_F(WindowPolicyTest, TheSharedWindowGoesWithTheKernelThatHadIt) {
  ASSERT_TRUE(execute_kernel(kAfter));
  spaces_.set_entries(kKernel, 128, kP | kW);
  mmu_->flush();
  unsigned looks = 0;
  while (!execute_kernel(1) && looks < 1000) ++looks;
  EXPECT_LT(looks, 100u);
  EXPECT_GT(looks, 4u) << "a moment elsewhere is nothing";
  EXPECT_EQ(kernel(), 0u);
}

TEST_F(WindowPolicyTest, WhatAProgramsWindowHasLostGoesWhenTheProgramRunsOn) {
  ASSERT_TRUE(execute_program(kAfter));
  ASSERT_NE(program(), 0u);
  ASSERT_TRUE(fill(kProgram, Privilege::kUser));
  ASSERT_TRUE(policy_->map(kProgram, false));
  kernel();
  mmu_->invalidate_page({kProgram});
  policy_->settle();
  EXPECT_EQ(counter("windows/unmappings"), 0u);
  program();
  EXPECT_EQ(counter("windows/unmappings"), 1u);
}

TEST_F(WindowPolicyTest, AWindowThatCostsMoreThanItSavesGoes) {
  ASSERT_TRUE(execute_program(kAfter));
  ASSERT_NE(program(), 0u);
  work_in_vain(200);
  EXPECT_FALSE(execute_program(0)) << "a new one has to be filled";
  for (unsigned i = 0; i < 20; ++i) {
    work_in_vain(10);
    EXPECT_FALSE(execute_program(kAfter)) << "it saves more than that";
  }
  unsigned rounds = 0;
  for (; rounds < 1000 && program() != 0; ++rounds) {
    work_in_vain(10);
    execute_program(1);
  }
  EXPECT_LT(rounds, 60u) << "what it has saved before does not count for ever";
  EXPECT_TRUE(execute_program(kAfter)) << "it was long worth it";
  ASSERT_NE(program(), 0u);
  work_in_vain(1000);
  EXPECT_TRUE(execute_program(1));
  EXPECT_EQ(program(), 0u);
  EXPECT_FALSE(execute_program(kAfter)) << "it was not, so it has to wait longer";
  EXPECT_TRUE(execute_program(kAfter));
}

TEST_F(WindowPolicyTest, AProgramIsJudgedWhileTheKernelRuns) {
  ASSERT_TRUE(execute_program(kAfter));
  ASSERT_NE(program(), 0u);
  work_in_vain(1000);
  execute_kernel(1);
  EXPECT_EQ(program(), 0u);
}

TEST_F(WindowPolicyTest, WhatFillingAWindowMayCostIsEarnedBackOnce) {
  promote_program_after(2000);
  execute_program(1'000'000'000);  // the window has paid, and shows next to nothing
  unsigned times = 0;
  for (; times < 2000 && program() != 0; times += 10) {
    work_in_vain(10);
    execute_program(1);
  }
  EXPECT_LT(times, 800u);
  EXPECT_GT(times, 100u);
}

TEST_F(WindowPolicyTest, WhatFillingAWindowMayCostIsThereWhenItIsFilled) {
  promote_program_after(2000);
  execute_program(1000);  // in a loop that needs nothing
  work_in_vain(1000);
  execute_program(1);
  EXPECT_NE(program(), 0u);
}

/// As if the host had no more addresses.
class NoMoreMemory {
 public:
  NoMoreMemory() {
    getrlimit(RLIMIT_AS, &before_);
    const rlimit least{0, before_.rlim_max};
    setrlimit(RLIMIT_AS, &least);
  }
  ~NoMoreMemory() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

TEST_F(WindowPolicyTest, WhereTheHostHasNoRoomForAWindowItIsNotAskedAgainSoon) {
  load_space(1);
  program();
  mmu_->fill({kProgram}, Access::kExecute, Privilege::kUser);
  retired_ += kAfter;
  {
    const NoMoreMemory limit;
    testing::internal::CaptureStderr();
    EXPECT_FALSE(policy_->look(kProgram, retired_));
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_NE(said.find("without windows, which is slower\n"), std::string::npos) << said;
  }
  for (unsigned i = 0; i < 7; ++i) EXPECT_FALSE(execute_program(uint64_t{1} << 29)) << i;
  EXPECT_TRUE(execute_program(uint64_t{1} << 29));
  EXPECT_NE(program(), 0u);
}

TEST_F(WindowPolicyTest, FaultsThatNoMappingHelpsAgainstCost) {
  ASSERT_TRUE(execute_program(kAfter));
  program();
  for (unsigned i = 0; i < 5000; ++i) policy_->refused();
  EXPECT_TRUE(execute_program(1));
  EXPECT_EQ(program(), 0u);
}

/// Programs in address spaces of their own, each with a window, in a small budget of mappings.
class WindowBudgetTest : public testing::Test {
 protected:
  static constexpr uint64_t kBudget = 200;
  struct Machine {
    /// Windows keep what they show while others run.
    Machine() { spaces.mmu->keep_spaces_after(1); }
    void run(unsigned space) {
      spaces.load_space(space);
      base = policy->enter(Privilege::kUser, ++retired);
    }
    static uint64_t linear(unsigned page) { return kProgram + page * 2 * kPageSize; }
    /// Every second page, so that no two share a mapping of the host.
    void map(unsigned first, unsigned pages) {
      for (unsigned i = first; i < first + pages; ++i) {
        ASSERT_FALSE(policy->fill(linear(i), Access::kRead, Privilege::kUser));
        ASSERT_TRUE(policy->map(linear(i), false));
        ASSERT_LE(Window::mappings_of_process(), kBudget);
      }
    }
    /// Whether its window shows one of these: the kernel says, without a signal.
    bool shows(unsigned page) const {
      uint8_t byte;
      const iovec to{&byte, 1}, from{reinterpret_cast<void*>(base + linear(page)), 1};
      return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
    }
    uint64_t counter(std::string_view name) const { return counter_of(*policy, name); }

    AddressSpaces spaces;
    std::unique_ptr<WindowPolicy> policy =
        WindowPolicy::create(*spaces.memory, *spaces.mmu, 0, HostCosts{}, kBudget).take();
    uint64_t retired = 0, base = 0;
  };
};

TEST_F(WindowBudgetTest, IsWellBelowWhatTheHostPermits) {
  uint64_t host = 0;
  ASSERT_TRUE(std::ifstream("/proc/sys/vm/max_map_count") >> host);
  EXPECT_LE(WindowPolicy::permitted_mappings(), host / 2);
  EXPECT_GT(WindowPolicy::permitted_mappings(), 0u);
}

TEST_F(WindowBudgetTest, ClearsWhatHasRunLastLongestAgo) {
  Machine m;
  for (const unsigned space : {0, 1, 2}) {
    m.run(space);
    m.map(0, 20);
  }
  EXPECT_EQ(m.counter("windows/mappings of the host"), 120u);
  m.run(0);
  m.run(3);
  m.map(0, 20);  // with 15 of them there is too much
  EXPECT_EQ(m.counter("windows/evictions"), 2u) << "one is not comfortably below the budget";
  EXPECT_TRUE(m.shows(0));
  m.run(1);
  EXPECT_FALSE(m.shows(0));
  m.run(2);
  EXPECT_FALSE(m.shows(0));
  m.run(0);
  EXPECT_TRUE(m.shows(0)) << "it was made first, but it has run since";
}

TEST_F(WindowBudgetTest, TheWindowThatRunsIsTheLastToBeCleared) {
  Machine m;
  m.run(0);
  m.run(1);
  m.map(0, 40);
  m.run(0);
  m.map(0, 60);
  EXPECT_EQ(m.counter("windows/evictions"), 1u);
  EXPECT_TRUE(m.shows(0));
  m.map(60, 30);
  EXPECT_EQ(m.counter("windows/evictions"), 2u) << "it alone is too much";
  EXPECT_FALSE(m.shows(0));
  EXPECT_TRUE(m.shows(89));
}

TEST_F(WindowBudgetTest, AnotherAddressSpaceThatGetsAWindowSeesNothingInIt) {
  Machine m;
  m.run(0);
  m.map(0, 5);
  const uint64_t first = m.base;
  m.spaces.load_space(1);
  m.spaces.mmu->invalidate_page({Machine::linear(3)});  // of the space that is away nothing goes
  m.run(1);
  for (unsigned space = 2; space < AddressSpaces::kSpaces && m.base != first; ++space) m.run(space);
  ASSERT_EQ(m.base, first) << "there are more address spaces than windows";
  for (unsigned page = 0; page < 5; ++page) EXPECT_FALSE(m.shows(page)) << page;
  m.map(3, 1);
  EXPECT_TRUE(m.shows(3));
  m.spaces.mmu->invalidate_page({Machine::linear(3)});
  m.policy->settle();
  EXPECT_FALSE(m.shows(3));
}

TEST_F(WindowBudgetTest, AllMachinesShareIt) {
  auto first = std::make_unique<Machine>();
  Machine second;
  first->run(0);
  first->map(0, 45);
  first->run(1);
  first->map(0, 30);
  // Where the other one does not give way, it has little, but it gets on.
  second.run(0);
  for (unsigned i = 0; i < 90; i += 2) {
    second.map(i, 2);
    ASSERT_TRUE(second.shows(i + 1));
  }
  EXPECT_EQ(first->counter("windows/evictions"), 0u) << "only its own";
  EXPECT_GT(second.counter("windows/evictions"), 1u);
  EXPECT_GE(Window::mappings_of_process(), first->counter("windows/mappings of the host"));
  first->map(30, 1);
  EXPECT_EQ(first->counter("windows/evictions"), 1u);
  EXPECT_TRUE(first->shows(0)) << "the other of its windows was enough";
  first.reset();
  const uint64_t before = second.counter("windows/evictions");
  second.map(0, 60);
  EXPECT_EQ(second.counter("windows/evictions"), before);
  EXPECT_EQ(Window::mappings_of_process(), second.counter("windows/mappings of the host"));
}

}  // namespace
}  // namespace vireo::translator
