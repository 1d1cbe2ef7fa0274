// Flags beyond the arithmetic ones: CLI STI PUSHF POPF, with V86 and the virtual interrupt flag (VME, PVI).
// Source: SDM 2 (CLI, STI, PUSHF, POPF); SDM 3A 20.3.3 and 20.4.
#include "core/interp/handlers.h"
#include "core/interp/protection.h"

namespace vireo::interp {

namespace {

/// How CLI and STI may act here.
enum class InterruptFlag : uint8_t { kReal, kVirtual, kForbidden };

InterruptFlag which_flag(const CpuState& cpu) {
  if (!cpu.protected_mode() || cpu.iopl() >= cpu.cpl) return InterruptFlag::kReal;
  if (cpu.v86()) return cpu.cr4 & cr4::kVme ? InterruptFlag::kVirtual : InterruptFlag::kForbidden;
  return cpu.cpl == 3 && (cpu.cr4 & cr4::kPvi) ? InterruptFlag::kVirtual : InterruptFlag::kForbidden;
}

void cli(Interp& interp, const Insn&) {
  CpuState& cpu = interp.cpu;
  switch (which_flag(cpu)) {
    case InterruptFlag::kReal:
      cpu.rflags &= ~rflags::kIf;
      break;
    case InterruptFlag::kVirtual:
      cpu.rflags &= ~rflags::kVif;
      break;
    case InterruptFlag::kForbidden:
      throw_gp(0);
  }
}

void sti(Interp& interp, const Insn&) {
  CpuState& cpu = interp.cpu;
  switch (which_flag(cpu)) {
    case InterruptFlag::kReal:
      if (cpu.rflags & rflags::kIf) break;
      cpu.rflags |= rflags::kIf;
      cpu.interrupt_shadow = CpuState::Shadow::kSti;
      interp.end_block();
      break;
    case InterruptFlag::kVirtual:
      if (cpu.rflags & rflags::kVip) throw_gp(0);
      cpu.rflags |= rflags::kVif;
      break;
    case InterruptFlag::kForbidden:
      throw_gp(0);
  }
}

void pushf(Interp& interp, const Insn& insn) {
  const CpuState& cpu = interp.cpu;
  uint64_t image = cpu.rflags & ~(rflags::kRf | rflags::kVm);
  if (cpu.v86() && cpu.iopl() < 3) {
    if (!vme_below_iopl3(cpu) || insn.operand_size != 2) throw_gp(0);
    image = (image & ~rflags::kIf) | rflags::kIopl | (cpu.rflags & rflags::kVif ? rflags::kIf : 0);
  }
  interp.push(insn.operand_size, image);
}

void popf(Interp& interp, const Insn& insn) {
  const uint64_t rsp = interp.cpu.reg(Gpr::kRsp);
  const uint64_t value = interp.pop(insn.operand_size);
  try {
    interp.write_flags(value, insn.operand_size);
  } catch (const Fault&) {
    interp.cpu.reg(Gpr::kRsp) = rsp;
    throw;
  }
}

}  // namespace

void Interp::write_flags(uint64_t value, unsigned operand_size) {
  uint64_t mask = rflags::kArithmetic | rflags::kTf | rflags::kDf | rflags::kNt;
  if (operand_size != 2) mask |= rflags::kAc | rflags::kId;
  if (cpu.v86() && cpu.iopl() < 3) {
    if (!vme_below_iopl3(cpu) || operand_size != 2) throw_gp(0);
    const bool enable = value & rflags::kIf;
    if ((value & rflags::kTf) || (enable && (cpu.rflags & rflags::kVip))) throw_gp(0);
    value = (value & ~rflags::kVif) | (enable ? rflags::kVif : 0);
    mask |= rflags::kVif;
  } else {
    if (cpu.cpl <= cpu.iopl()) mask |= rflags::kIf;
    if (cpu.cpl == 0) mask |= rflags::kIopl;
  }
  set_flags(*this, value & ~rflags::kRf, mask | (operand_size != 2 ? rflags::kRf : 0));
}

namespace bind {

Handler CLI(const Insn&) {
  return cli;
}
Handler STI(const Insn&) {
  return sti;
}
Handler PUSHF(const Insn&) {
  return pushf;
}
Handler POPF(const Insn&) {
  return popf;
}

}  // namespace bind

}  // namespace vireo::interp
