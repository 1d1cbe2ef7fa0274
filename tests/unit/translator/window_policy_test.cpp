// Who gets a window, and who loses it.
#include "translator/window_policy.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <memory>
#include <string_view>

#include "softmmu/soft_mmu.h"

namespace vireo::translator {
namespace {

constexpr uint64_t kRam = uint64_t{8} << 20;
constexpr uint64_t kAfter = uint64_t{1} << 20;
constexpr uint32_t kP = 1, kW = 2, kU = 4, kG = 0x100;

class WindowPolicyTest : public testing::Test {
 protected:
  static constexpr uint64_t kDirectories = 0x10000, kTable = 0x1000;
  static constexpr uint64_t kKernel = 0x100000, kProgram = 0x200000;  // linear and physical

  void SetUp() override {
    if (const auto can = WindowPolicy::possible(); !can) GTEST_SKIP() << can.error().message;
    policy_ = WindowPolicy::create(*memory_, *mmu_, kAfter).take();
  }
  WindowPolicyTest() : memory_(GuestMemory::create(kRam).take()) {
    reset_cpu(cpu_, 0);
    memory_->map_ram({0}, kRam, 0, "ram");
    mmu_ = std::make_unique<SoftMmu>(cpu_, *memory_);
    for (unsigned space = 0; space < 4; ++space)
      memory_->write_value<uint32_t>({kDirectories + space * kPageSize}, kTable | kP | kW | kU);
    set_entries(kKernel, kP | kW | kG);
    set_entries(kProgram, kP | kW | kU);
    cpu_.cr3 = kDirectories;
    cpu_.cr4 = cr4::kPge;
    cpu_.cr0 |= cr0::kPe | cr0::kPg;
    mmu_->control_registers_changed();
  }
  /// Of 128 pages.
  void set_entries(uint64_t linear, uint32_t bits) {
    for (uint64_t at = linear; at < linear + (uint64_t{128} << 12); at += kPageSize)
      memory_->write_value<uint32_t>({kTable + at / kPageSize * 4}, static_cast<uint32_t>(at) | bits);
  }
  uint64_t enter(Privilege privilege) { return policy_->enter(privilege, retired_); }
  uint64_t kernel() { return enter(Privilege::kSupervisor); }
  uint64_t program() { return enter(Privilege::kUser); }
  void load_space(unsigned space) {
    cpu_.cr3 = kDirectories + space * kPageSize;
    mmu_->cr3_loaded();
  }
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
  uint64_t counter(std::string_view name) const {
    uint64_t found = ~uint64_t{0};
    policy_->visit_stats([&](std::string_view n, uint64_t value) { found = n == name ? value : found; });
    return found;
  }

  CpuState cpu_;
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<SoftMmu> mmu_;
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
  set_entries(kKernel, kP | kW);
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
  set_entries(kKernel, kP | kW);
  mmu_->flush();
  unsigned looks = 0;
  while (!execute_kernel(1) && looks < 1000) ++looks;
  EXPECT_LT(looks, 100u);
  EXPECT_GT(looks, 4u) << "a moment elsewhere is nothing";
  EXPECT_EQ(kernel(), 0u);
}

TEST_F(WindowPolicyTest, AWindowThatCostsMoreThanItSavesGoes) {
  ASSERT_TRUE(execute_program(kAfter));
  ASSERT_NE(program(), 0u);
  const auto work = [&](unsigned pages) {
    for (unsigned i = 0; i < pages; ++i) {
      ASSERT_TRUE(fill(kProgram, Privilege::kUser));
      ASSERT_TRUE(policy_->map(kProgram, false));
      mmu_->invalidate_page({kProgram});
      policy_->settle();
    }
  };
  work(200);
  EXPECT_FALSE(execute_program(0)) << "a new one has to be filled";
  for (unsigned i = 0; i < 20; ++i) {
    work(10);
    EXPECT_FALSE(execute_program(kAfter)) << "it saves more than that";
  }
  unsigned rounds = 0;
  for (; rounds < 1000 && program() != 0; ++rounds) {
    work(10);
    execute_program(1);
  }
  EXPECT_LT(rounds, 60u) << "what it has saved before does not count for ever";
  EXPECT_TRUE(execute_program(kAfter)) << "it was long worth it";
  ASSERT_NE(program(), 0u);
  work(1000);
  EXPECT_TRUE(execute_program(1));
  EXPECT_EQ(program(), 0u);
  EXPECT_FALSE(execute_program(kAfter)) << "it was not, so it has to wait longer";
  EXPECT_TRUE(execute_program(kAfter));
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
    EXPECT_FALSE(policy_->look(kProgram, retired_));
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

}  // namespace
}  // namespace vireo::translator
