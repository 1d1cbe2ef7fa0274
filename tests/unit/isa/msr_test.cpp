#include "core/isa/msr.h"

#include <gtest/gtest.h>

#include "core/isa/cpuid.h"

namespace vireo {
namespace {

class FakeMmu final : public Mmu {
 public:
  unsigned space() const override { return 0; }
  void keep_spaces_after(uint32_t) override {}
  uint64_t space_serial() const override { return 0; }
  TlbMirror& mirror(Privilege) override { return mirror_; }
  const TlbTables& global_tables(Privilege privilege) override { return tables(privilege); }
  TlbMirror& global_mirror(Privilege) override { return mirror_; }
  bool is_global(Gla, Privilege) const override { return false; }
  std::optional<PageFault> fill(Gla, Access, Privilege) override { return {}; }
  bool permits(Gla, Access, Privilege) const override { return true; }
  void read_slow(Gla, Privilege, void*, unsigned) override {}
  void write_slow(Gla, Privilege, const void*, unsigned) override {}
  std::optional<Gpa> probe(Gla) const override { return {}; }
  void invalidate_page(Gla) override {}
  void cr3_loaded() override {}
  void flush() override {}
  void control_registers_changed() override { mode_changes++; }
  int mode_changes = 0;

 private:
  TlbMirror mirror_;
};

class NoInterrupts final : public InterruptController {
 public:
  bool interrupt_pending() const override { return false; }
  uint8_t acknowledge() override { return 0; }
};

class MsrTest : public testing::Test {
 protected:
  explicit MsrTest(std::string_view name = kDefaultCpuModel) : model(find_cpu_model(name).value()) {
    reset_msrs(cpu, model);
    context.apic_base_changed = [this](uint64_t value) { apic_base_seen = value; };
  }
  /// The value, or nothing for #GP.
  std::optional<uint64_t> read(uint32_t index) {
    uint64_t value = 0;
    if (!rdmsr(context, index, value)) return {};
    return value;
  }
  bool write(uint32_t index, uint64_t value) { return wrmsr(context, index, value); }

  CpuModel model;
  CpuState cpu;
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(1 << 20).take();
  FakeMmu mmu;
  IoBus ports;
  NoInterrupts interrupts;
  FakeClock clock;
  Attention attention;
  CpuContext context{cpu, *memory, mmu, ports, interrupts, clock, attention, model, {}, {}};
  uint64_t apic_base_seen = 0;
};

class Pentium3Msr : public MsrTest {
 protected:
  Pentium3Msr() : MsrTest("pentium3") {}
};
class PentiumMsr : public MsrTest {
 protected:
  PentiumMsr() : MsrTest("pentium") {}
};

TEST_F(MsrTest, UnknownIsGp) {
  EXPECT_EQ(read(0x12345678), std::nullopt);
  EXPECT_FALSE(write(0x12345678, 0));
  EXPECT_EQ(read(0xc0000100), std::nullopt);  // FS_BASE: no long mode
  EXPECT_EQ(read(0x38f), std::nullopt);       // PERF_GLOBAL_CTRL: leaf 10 says there is none
}

TEST_F(MsrTest, TscCountsGuestTimeAndIsWritable) {
  clock.advance(1000);
  EXPECT_EQ(read(0x10), 2400u);
  EXPECT_TRUE(write(0x10, 0x1'0000'0000));
  clock.advance(1000);
  EXPECT_EQ(read(0x10), 0x1'0000'0000u + 2400);
}

TEST_F(Pentium3Msr, TscWriteClearsTheHighHalf) {
  EXPECT_TRUE(write(0x10, 0x5'0000'0007));
  EXPECT_EQ(read(0x10), 7u);
}

TEST_F(MsrTest, EferHasOnlyNxeAndTellsTheMmu) {
  EXPECT_EQ(read(0xc0000080), 0u);
  EXPECT_TRUE(write(0xc0000080, efer::kNxe));
  EXPECT_EQ(mmu.mode_changes, 1);
  EXPECT_TRUE(write(0xc0000080, efer::kNxe));
  EXPECT_EQ(mmu.mode_changes, 1);
  EXPECT_FALSE(write(0xc0000080, efer::kLme));
  EXPECT_FALSE(write(0xc0000080, efer::kSce));
  EXPECT_EQ(read(0xc0000080), efer::kNxe);
}

TEST_F(Pentium3Msr, NoEfer) {
  EXPECT_EQ(read(0xc0000080), std::nullopt);
}

TEST_F(MsrTest, ApicBase) {
  EXPECT_EQ(read(0x1b), 0xfee00900u);
  EXPECT_TRUE(write(0x1b, 0xfed00900));
  EXPECT_EQ(apic_base_seen, 0xfed00900u);
  EXPECT_FALSE(write(0x1b, 0xfee00d00)) << "x2APIC enable is reserved";
  EXPECT_FALSE(write(0x1b, uint64_t{1} << 36)) << "beyond MAXPHYADDR";
}

TEST_F(PentiumMsr, HasNoP6Registers) {
  for (uint32_t index : {0x1bu, 0xfeu, 0x174u, 0x277u, 0x1a0u, 0x8bu}) EXPECT_EQ(read(index), std::nullopt);
  EXPECT_EQ(read(0), 0u);
  EXPECT_TRUE(read(0x10).has_value());
}

// What SeaBIOS programs (ranges as for 128 MiB of RAM), and what it must not get away with.
TEST_F(MsrTest, Mtrrs) {
  EXPECT_EQ(read(0xfe), 0x508u);
  EXPECT_TRUE(write(0x250, 0x0606060606060606));
  EXPECT_TRUE(write(0x26f, 0x0505050505050505));
  EXPECT_TRUE(write(0x200, 0xc0000000));
  EXPECT_TRUE(write(0x201, 0xfc0000800));
  EXPECT_TRUE(write(0x2ff, 0xc06));
  EXPECT_EQ(read(0x250), 0x0606060606060606u);
  EXPECT_EQ(read(0x26f), 0x0505050505050505u);
  EXPECT_EQ(read(0x258), 0u);
  EXPECT_EQ(read(0x201), 0xfc0000800u);
  EXPECT_EQ(read(0x2ff), 0xc06u);
  EXPECT_FALSE(write(0x200, 0xc0000002)) << "type 2 is reserved";
  EXPECT_FALSE(write(0x200, 0xc0000106)) << "bits 8 to 11 are reserved";
  EXPECT_FALSE(write(0x259, 7)) << "type 7 is for the PAT only";
  EXPECT_EQ(read(0x210), std::nullopt) << "eight pairs";
}

TEST_F(MsrTest, Pat) {
  EXPECT_EQ(read(0x277), 0x0007040600070406u);
  EXPECT_TRUE(write(0x277, 0x0007010600070106));
  EXPECT_FALSE(write(0x277, 2));
  EXPECT_EQ(read(0x277), 0x0007010600070106u);
}

TEST_F(MsrTest, SysenterRegistersAre32Bits) {
  EXPECT_TRUE(write(0x176, 0x1'2345'6789));
  EXPECT_EQ(read(0x176), 0x23456789u);
}

TEST_F(MsrTest, XdDisableTakesNxeAway) {
  EXPECT_TRUE(write(0x1a0, *read(0x1a0) | misc_enable::kXdDisable));
  EXPECT_EQ(read(0xc0000080), std::nullopt);
}

TEST_F(MsrTest, MicrocodeRevisionSurvivesTheProbe) {
  EXPECT_TRUE(write(0x8b, 0));
  EXPECT_EQ(*read(0x8b) & 0xffffffff, 0u);
  EXPECT_NE(*read(0x8b) >> 32, 0u);
}

TEST_F(MsrTest, MachineCheckBanks) {
  EXPECT_EQ(read(0x179), 0x806u);
  EXPECT_EQ(read(0x17b), std::nullopt) << "MCG_CAP.MCG_CTL_P is 0";
  EXPECT_TRUE(write(0x400, ~0ull));
  EXPECT_EQ(read(0x400), ~0ull);
  EXPECT_TRUE(write(0x401, 0));
  EXPECT_FALSE(write(0x401, 1));
  EXPECT_EQ(read(0x400 + 6 * 4), std::nullopt);
}

}  // namespace
}  // namespace vireo
