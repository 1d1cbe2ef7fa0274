#include "core/cpu_state.h"

namespace vireo {

namespace {

constexpr uint16_t kPresentData = 0x93;  // present, DPL 0, read/write data, accessed

Segment real_mode_segment(uint16_t selector, uint64_t base) {
  return {.base = base, .limit = 0xffff, .selector = selector, .access = kPresentData};
}

/// What RESET and INIT have in common.
void reset_integer_state(CpuState& cpu, uint32_t signature) {
  cpu.gpr.fill(0);
  cpu.reg(Gpr::kRdx) = signature;
  cpu.rip = 0xfff0;
  cpu.rflags = rflags::kFixed1;
  cpu.seg.fill(real_mode_segment(0, 0));
  cpu.segment(SegReg::kCs) = real_mode_segment(0xf000, 0xffff'0000);
  cpu.ldtr = {.base = 0, .limit = 0xffff, .selector = 0, .access = 0x82};
  cpu.tr = {.base = 0, .limit = 0xffff, .selector = 0, .access = 0x8b};
  cpu.gdtr = {.base = 0, .limit = 0xffff};
  cpu.idtr = {.base = 0, .limit = 0xffff};
  cpu.cr2 = cpu.cr3 = cpu.cr4 = cpu.cr8 = 0;
  cpu.dr.fill(0);
  cpu.dr[6] = 0xffff'0ff0;
  cpu.dr[7] = 0x400;
  cpu.pdpte.fill(0);
  cpu.cpl = 0;
  cpu.interrupt_shadow = CpuState::Shadow::kNone;
  cpu.rep_incomplete = false;
  cpu.halted = false;
  cpu.nmi_blocked = false;
  cpu.nmi_pending = false;
  cpu.shutdown = false;
  cpu.pending_dr6 = 0;
  cpu.accepted = {};
}

}  // namespace

void reset_cpu(CpuState& cpu, uint32_t signature) {
  cpu = CpuState{};
  reset_integer_state(cpu, signature);
  cpu.cr0 = cr0::kCd | cr0::kNw | cr0::kEt;
  cpu.fx.fcw = 0x40;
  cpu.fx.ftw = 0xff;  // all registers hold +0.0
  cpu.fx.mxcsr = 0x1f80;
  cpu.fx.mxcsr_mask = 0xffff;
}

void init_cpu(CpuState& cpu, uint32_t signature) {
  reset_integer_state(cpu, signature);
  cpu.cr0 = (cpu.cr0 & (cr0::kCd | cr0::kNw)) | cr0::kEt;
  // INIT leaves the MSRs alone, except that EFER follows the paging mode that it ends.
  cpu.msr.efer &= ~(efer::kLma | efer::kLme);
}

}  // namespace vireo
