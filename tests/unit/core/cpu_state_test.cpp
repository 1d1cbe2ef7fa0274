#include "core/cpu_state.h"

#include <gtest/gtest.h>

namespace vireo {
namespace {

constexpr uint32_t kSignature = 0x6f6;

TEST(CpuState, ResetStartsAtTheTopOfMemory) {
  CpuState cpu;
  reset_cpu(cpu, kSignature);
  EXPECT_EQ(cpu.segment(SegReg::kCs).base + cpu.rip, 0xffff'fff0u);
  EXPECT_EQ(cpu.reg(Gpr::kRdx), kSignature);
  EXPECT_EQ(cpu.cr0, 0x6000'0010u);
  EXPECT_EQ(cpu.fx.fcw, 0x40u);
}

TEST(CpuState, InitKeepsWhatIsNotTheIntegerUnits) {
  CpuState cpu;
  reset_cpu(cpu, kSignature);
  cpu.cr0 = cr0::kPe | cr0::kPg | cr0::kNe | cr0::kEt;
  cpu.rip = 0x1234;
  cpu.halted = true;
  cpu.nmi_pending = true;
  cpu.fx.fcw = 0x27f;
  cpu.fx.xmm[3][0] = 0x77;
  cpu.msr.apic_base = 0xfee00900;
  cpu.retired = 1000;
  cpu.tsc_offset = 5;
  init_cpu(cpu, kSignature);
  EXPECT_EQ(cpu.segment(SegReg::kCs).base + cpu.rip, 0xffff'fff0u);
  EXPECT_EQ(cpu.reg(Gpr::kRdx), kSignature);
  EXPECT_EQ(cpu.cr0, cr0::kEt);
  EXPECT_FALSE(cpu.halted);
  EXPECT_FALSE(cpu.nmi_pending);
  EXPECT_EQ(cpu.fx.fcw, 0x27fu);
  EXPECT_EQ(cpu.fx.xmm[3][0], 0x77);
  EXPECT_EQ(cpu.msr.apic_base, 0xfee00900u);
  EXPECT_EQ(cpu.retired, 1000u);
  EXPECT_EQ(cpu.tsc_offset, 5u);
}

}  // namespace
}  // namespace vireo
