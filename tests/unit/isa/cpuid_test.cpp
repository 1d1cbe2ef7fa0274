#include "core/isa/cpuid.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "core/isa/msr.h"

namespace vireo {
namespace {

using isa::Feature;

CpuModel model(std::string_view name) {
  return find_cpu_model(name).value();
}

std::string text(const CpuidRegisters& r, std::initializer_list<uint32_t CpuidRegisters::*> order) {
  std::string bytes;
  for (auto reg : order) {
    const uint32_t word = r.*reg;
    bytes.append(reinterpret_cast<const char*>(&word), 4);
  }
  return bytes;
}

TEST(Cpuid, UnknownModelNamesTheKnownOnes) {
  const auto found = find_cpu_model("z80");
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().message,
            "there is no CPU model 'z80'; the models are 486, pentium, pentium3, core2duo-32");
}

TEST(Cpuid, VendorString) {
  for (auto name : {"486", "pentium", "pentium3", "core2duo-32"}) {
    const auto leaf = model(name).cpuid(0, 0);
    EXPECT_EQ(text(leaf, {&CpuidRegisters::ebx, &CpuidRegisters::edx, &CpuidRegisters::ecx}), "GenuineIntel");
  }
}

// The feature words of the real parts: AN-485 and CPUID dumps of P54C and Coppermine.
TEST(Cpuid, FeatureWordsOfRealParts) {
  EXPECT_EQ(model("486").cpuid(1, 0).edx, 0x00000003u);
  EXPECT_EQ(model("pentium").cpuid(1, 0).edx, 0x000001bfu);
  EXPECT_EQ(model("pentium3").cpuid(1, 0).edx, 0x0383fbffu);
  EXPECT_EQ(model("pentium3").cpuid(1, 0).ecx, 0u);
  EXPECT_EQ(model("core2duo-32").cpuid(1, 0).edx, 0x0f8bfbffu);
  EXPECT_EQ(model("core2duo-32").cpuid(1, 0).eax, 0x000006f6u);
}

TEST(Cpuid, Core2HasNxAndNoLongMode) {
  const auto m = model(kDefaultCpuModel);
  EXPECT_EQ(m.cpuid(0x80000001, 0).edx, 1u << 20);
  EXPECT_EQ(m.cpuid(0x80000008, 0).eax, 0x2024u);
  EXPECT_FALSE(m.has(Feature::kLm));
}

TEST(Cpuid, BrandString) {
  const auto m = model(kDefaultCpuModel);
  std::string brand;
  for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; leaf++) {
    brand += text(m.cpuid(leaf, 0),
                  {&CpuidRegisters::eax, &CpuidRegisters::ebx, &CpuidRegisters::ecx, &CpuidRegisters::edx});
  }
  EXPECT_STREQ(brand.c_str(), "Intel(R) Core(TM)2 CPU          6600  @ 2.40GHz");
}

TEST(Cpuid, CacheLeavesEndWithANullType) {
  const auto m = model(kDefaultCpuModel);
  EXPECT_EQ(m.cpuid(2, 0).eax, 0x05b0b101u);
  const auto l2 = m.cpuid(4, 2);
  const uint64_t ways = (l2.ebx >> 22) + 1, line = (l2.ebx & 0xfff) + 1, sets = l2.ecx + 1;
  EXPECT_EQ(ways * line * sets, 4u << 20);
  EXPECT_EQ(m.cpuid(4, 3), CpuidRegisters{});
}

TEST(Cpuid, LeafAboveTheHighestGivesTheHighestBasicLeaf) {
  const auto pentium = model("pentium");
  EXPECT_EQ(pentium.cpuid(0x80000000, 0), pentium.cpuid(1, 0));
  EXPECT_EQ(pentium.cpuid(77, 0), pentium.cpuid(1, 0));
}

TEST(Cpuid, MsrsHideFeatures) {
  const auto m = model(kDefaultCpuModel);
  CpuState cpu;
  reset_msrs(cpu, m);
  EXPECT_EQ(cpuid(m, cpu, 1, 0), m.cpuid(1, 0));
  EXPECT_EQ(cpuid(m, cpu, 0, 0).eax, 10u);
  cpu.msr.apic_base &= ~apic_base::kEnable;
  EXPECT_EQ(cpuid(m, cpu, 1, 0).edx, m.cpuid(1, 0).edx & ~(1u << 9));
  cpu.msr.misc_enable |= misc_enable::kLimitCpuid | misc_enable::kXdDisable;
  EXPECT_EQ(cpuid(m, cpu, 0, 0).eax, 3u);
  EXPECT_EQ(cpuid(m, cpu, 0x80000001, 0).edx, 0u);
}

}  // namespace
}  // namespace vireo
