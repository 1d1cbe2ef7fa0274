// What goes to KVM comes back the same.
#include "hwassist/kvm_regs.h"

#include <gtest/gtest.h>

#include <cstring>

namespace vireo::hwassist {
namespace {

CpuState busy_state() {
  CpuState cpu;
  reset_cpu(cpu, 0x6f6);
  for (unsigned i = 0; i < cpu.gpr.size(); ++i) cpu.gpr[i] = 0x1111'1111'1111'1111u * (i + 1);
  cpu.rip = 0xc0123456;
  cpu.rflags = rflags::kFixed1 | rflags::kIf | rflags::kNt | rflags::kCf;
  for (unsigned i = 0; i < cpu.seg.size(); ++i) {
    cpu.seg[i] = {.base = 0x1000u * i,
                  .limit = 0xfffff000 + i,
                  .selector = static_cast<uint16_t>(8 * i + 11),
                  .access = 0xd0f3};
  }
  cpu.segment(SegReg::kCs).access = 0xc0fb;
  cpu.segment(SegReg::kGs) = {};  // null
  cpu.ldtr = {.base = 0x7000, .limit = 0x57, .selector = 0x50, .access = 0x82};
  cpu.tr = {.base = 0x6000, .limit = 0x67, .selector = 0x40, .access = 0x8b};
  cpu.gdtr = {.base = 0xc1000000, .limit = 0xff};
  cpu.idtr = {.base = 0xc2000000, .limit = 0x7ff};
  cpu.cr0 = 0x80050033;
  cpu.cr2 = 0xdeadbeef;
  cpu.cr3 = 0x123000;
  cpu.cr4 = 0x6b0;
  cpu.msr.efer = efer::kNxe;
  cpu.cpl = 3;
  return cpu;
}

void expect_same(const Segment& got, const Segment& expected) {
  EXPECT_EQ(got.base, expected.base);
  EXPECT_EQ(got.limit, expected.limit);
  EXPECT_EQ(got.selector, expected.selector);
  EXPECT_EQ(got.access, expected.access);
}

TEST(KvmRegs, ARepThatHasBegunIsRf) {
  CpuState cpu = busy_state();
  cpu.rep_incomplete = true;
  kvm_regs regs{};
  to_kvm(cpu, regs);
  EXPECT_TRUE(regs.rflags & rflags::kRf);
  from_kvm(regs, cpu);
  EXPECT_FALSE(cpu.rep_incomplete) << "RF says it";
  EXPECT_TRUE(cpu.rflags & rflags::kRf);
}

TEST(KvmRegs, GeneralRegisters) {
  const CpuState from = busy_state();
  kvm_regs regs;
  to_kvm(from, regs);
  EXPECT_EQ(regs.rsi, from.reg(Gpr::kRsi));
  EXPECT_EQ(regs.r15, from.reg(Gpr::kR15));
  CpuState to;
  from_kvm(regs, to);
  EXPECT_EQ(to.gpr, from.gpr);
  EXPECT_EQ(to.rip, from.rip);
  EXPECT_EQ(to.rflags, from.rflags);
}

TEST(KvmRegs, SegmentsAndControlRegisters) {
  const CpuState from = busy_state();
  kvm_sregs sregs;
  to_kvm(from, sregs);
  EXPECT_EQ(sregs.gs.unusable, 1);
  EXPECT_EQ(sregs.cs.unusable, 0);
  EXPECT_EQ(sregs.cs.db, 1);
  EXPECT_EQ(sregs.ss.dpl, 3);  // where KVM looks for CPL
  CpuState to;
  from_kvm(sregs, to);
  for (unsigned i = 0; i < from.seg.size(); ++i) expect_same(to.seg[i], from.seg[i]);
  expect_same(to.ldtr, from.ldtr);
  expect_same(to.tr, from.tr);
  EXPECT_EQ(to.gdtr.base, from.gdtr.base);
  EXPECT_EQ(to.idtr.limit, from.idtr.limit);
  EXPECT_EQ(to.cr0, from.cr0);
  EXPECT_EQ(to.cr2, from.cr2);
  EXPECT_EQ(to.cr3, from.cr3);
  EXPECT_EQ(to.cr4, from.cr4);
  EXPECT_EQ(to.msr.efer, from.msr.efer);
  EXPECT_EQ(to.cpl, 3);
}

TEST(KvmRegs, RealModeHasPrivilege0) {
  CpuState from;
  reset_cpu(from, 0);
  from.segment(SegReg::kSs).access = 0xf3;  // left from V86 mode
  kvm_sregs sregs;
  to_kvm(from, sregs);
  CpuState to;
  from_kvm(sregs, to);
  EXPECT_EQ(to.cpl, 0);
}

TEST(KvmRegs, Events) {
  using Kind = AcceptedEvent::Kind;
  const AcceptedEvent accepted[] = {
      {}, {Kind::kExternal, 0x31, false, 0}, {Kind::kNmi, 2, false, 0}, {Kind::kException, 14, true, 6}};
  for (const AcceptedEvent& event : accepted) {
    for (const auto shadow : {CpuState::Shadow::kNone, CpuState::Shadow::kSti, CpuState::Shadow::kMovSs}) {
      CpuState from;
      from.accepted = event;
      from.interrupt_shadow = shadow;
      from.nmi_blocked = from.nmi_pending = event.kind == Kind::kNmi;
      kvm_vcpu_events events;
      to_kvm(from, events);
      CpuState to;
      from_kvm(events, to);
      EXPECT_EQ(to.accepted.kind, event.kind);
      EXPECT_EQ(to.accepted.vector, event.vector);
      EXPECT_EQ(to.accepted.has_error_code, event.has_error_code);
      EXPECT_EQ(to.accepted.error_code, event.error_code);
      EXPECT_EQ(to.interrupt_shadow, shadow);
      EXPECT_EQ(to.nmi_blocked, from.nmi_blocked);
      EXPECT_EQ(to.nmi_pending, from.nmi_pending);
    }
  }
}

TEST(KvmRegs, AnIntInstructionIsExecutedAgain) {
  kvm_vcpu_events events{};
  events.interrupt.injected = events.interrupt.soft = 1;
  events.interrupt.nr = 0x80;
  CpuState cpu;
  from_kvm(events, cpu);
  EXPECT_EQ(cpu.accepted.kind, AcceptedEvent::Kind::kNone);
}

TEST(KvmRegs, DebugRegisters) {
  CpuState from;
  reset_cpu(from, 0);
  from.dr = {1, 2, 3, 4, 0, 0, 0xffff0ff1, 0x455};
  kvm_debugregs debug;
  to_kvm(from, debug);
  CpuState to;
  from_kvm(debug, to);
  EXPECT_EQ(to.dr, from.dr);
}

TEST(KvmRegs, FloatingPoint) {
  FxState from{};
  from.fcw = 0x27f;
  from.fsw = 0x3800;
  from.ftw = 0x80;
  from.mxcsr = 0x1fa0;
  for (unsigned i = 0; i < 8; ++i) from.st[i].fill(static_cast<uint8_t>(i + 1));
  for (unsigned i = 0; i < 8; ++i) from.xmm[i].fill(static_cast<uint8_t>(i + 0x81));
  KvmXsave xsave;
  to_kvm(from, xsave);
  FxState to{};
  to.mxcsr_mask = 0xffff;  // the CPU model's own
  from_kvm(xsave, to);
  EXPECT_EQ(to.fcw, from.fcw);
  EXPECT_EQ(to.fsw, from.fsw);
  EXPECT_EQ(to.ftw, from.ftw);
  EXPECT_EQ(to.mxcsr, from.mxcsr);
  EXPECT_EQ(to.st, from.st);
  EXPECT_EQ(to.xmm, from.xmm);
  EXPECT_EQ(to.mxcsr_mask, 0xffffu);
}

TEST(KvmRegs, WhatIsInItsInitialStateIsNotInTheImage) {
  KvmXsave xsave;
  std::memset(&xsave, 0, sizeof xsave);
  FxState fx{};
  fx.fcw = 0x27f;
  fx.xmm[3].fill(7);
  from_kvm(xsave, fx);
  EXPECT_EQ(fx.fcw, 0x37f);
  EXPECT_EQ(fx.xmm[3], (std::array<uint8_t, 16>{}));
}

}  // namespace
}  // namespace vireo::hwassist
