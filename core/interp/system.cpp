// System instructions: descriptor-table registers, SMSW LMSW CLTS, INVLPG, caches, TSC and MSRs, CPUID, HLT,
// MONITOR. Source: SDM 2; SDM 3A chapter 2.
#include "core/interp/handlers.h"
#include "core/interp/protection.h"
#include "core/isa/cpuid.h"
#include "core/isa/msr.h"

namespace vireo::interp {

namespace {

void require_protected_mode(const Interp& interp) {
  if (interp.cpu.real_or_v86()) throw_ud();
}

uint64_t offset_plus(const Insn& insn, uint64_t offset, unsigned n) {
  return (offset + n) & (~uint64_t{0} >> (64 - 8 * insn.address_size));
}

template <DescriptorTableRegister CpuState::*table>
void store_table(Interp& interp, const Insn& insn) {
  const DescriptorTableRegister& t = interp.cpu.*table;
  const uint64_t offset = interp.effective_address(insn);
  interp.write<uint16_t>(insn.segment, offset, t.limit);
  interp.write<uint32_t>(insn.segment, offset_plus(insn, offset, 2), static_cast<uint32_t>(t.base));
}

template <DescriptorTableRegister CpuState::*table>
void load_table(Interp& interp, const Insn& insn) {
  require_cpl0(interp);
  const uint64_t offset = interp.effective_address(insn);
  const uint16_t limit = interp.read<uint16_t>(insn.segment, offset);
  uint32_t base = interp.read<uint32_t>(insn.segment, offset_plus(insn, offset, 2));
  if (insn.operand_size == 2) base &= 0xffffff;
  interp.cpu.*table = {.base = base, .limit = limit};
  interp.mode_changed();
}

template <Segment CpuState::*which>
void store_selector(Interp& interp, const Insn& insn) {
  require_protected_mode(interp);
  const uint16_t selector = (interp.cpu.*which).selector;
  if (insn.is_memory() || insn.operand_size == 2) {
    interp.write_rm<uint16_t>(insn, selector);
  } else {
    interp.write_rm<uint32_t>(insn, selector);
  }
}

void lldt(Interp& interp, const Insn& insn) {
  require_protected_mode(interp);
  require_cpl0(interp);
  const uint16_t selector = interp.read_rm<uint16_t>(insn);
  if (is_null(selector)) {
    interp.cpu.ldtr = null_segment(selector);
    interp.mode_changed();
    return;
  }
  const uint32_t code = error_code_of(selector);
  if (selector & 4) throw_gp(code);
  const auto descriptor = read_descriptor(interp, selector);
  if (!descriptor || !descriptor->is_system_type(system_type::kLdt)) throw_gp(code);
  if (!descriptor->present()) throw_np(code);
  interp.cpu.ldtr = descriptor->segment(selector);
  interp.mode_changed();
}

void ltr(Interp& interp, const Insn& insn) {
  require_protected_mode(interp);
  require_cpl0(interp);
  const uint16_t selector = interp.read_rm<uint16_t>(insn);
  if (is_null(selector)) throw_gp(0);
  const uint32_t code = error_code_of(selector);
  if (selector & 4) throw_gp(code);
  auto descriptor = read_descriptor(interp, selector);
  if (!descriptor || !descriptor->is_available_tss()) throw_gp(code);
  if (!descriptor->present()) throw_np(code);
  mark_busy(interp, selector, true);
  descriptor->high |= 1u << 9;
  interp.cpu.tr = descriptor->segment(selector);
}

void smsw(Interp& interp, const Insn& insn) {
  if (insn.is_memory() || insn.operand_size == 2) {
    interp.write_rm<uint16_t>(insn, static_cast<uint16_t>(interp.cpu.cr0));
  } else {
    interp.write_rm<uint32_t>(insn, static_cast<uint32_t>(interp.cpu.cr0));
  }
}

void lmsw(Interp& interp, const Insn& insn) {
  require_cpl0(interp);
  constexpr uint64_t kLoaded = cr0::kPe | cr0::kMp | cr0::kEm | cr0::kTs;
  const uint64_t value = interp.read_rm<uint16_t>(insn) & kLoaded;
  CpuState& cpu = interp.cpu;
  cpu.cr0 = (cpu.cr0 & ~(kLoaded & ~cr0::kPe)) | value;  // PE can be set, not cleared
  interp.mmu.control_registers_changed();
  interp.mode_changed();
}

void clts(Interp& interp, const Insn&) {
  require_cpl0(interp);
  interp.cpu.cr0 &= ~cr0::kTs;
}

void invlpg(Interp& interp, const Insn& insn) {
  require_cpl0(interp);
  interp.mmu.invalidate_page(
      {(interp.cpu.segment(insn.segment).base + interp.effective_address(insn)) & 0xffffffff});
  interp.end_block();
}

void cpl0_nothing(Interp& interp, const Insn&) {
  require_cpl0(interp);
}
void nothing(Interp&, const Insn&) {}

/// Checked like a byte read, but an execute-only segment may be named (SDM 2A, CLFLUSH).
void clflush(Interp& interp, const Insn& insn) {
  const uint64_t offset = interp.effective_address(insn);
  const Segment& s = interp.cpu.segment(insn.segment);
  if (interp.cpu.real_or_v86() || !s.usable() || s.is_readable()) {
    static_cast<void>(interp.read<uint8_t>(insn.segment, offset));
    return;
  }
  if (offset > s.limit) throw_gp(0);
  const Privilege privilege = interp.cpl() == 3 ? Privilege::kUser : Privilege::kSupervisor;
  const Gla address{(s.base + offset) & 0xffffffff};
  if (const auto fault = interp.mmu.fill(address, Access::kRead, privilege)) {
    throw Fault{14, true, fault->error_code, fault->address.value};
  }
}

void hlt(Interp& interp, const Insn&) {
  require_cpl0(interp);
  interp.cpu.halted = true;
  interp.end_block();
}

void set_edx_eax(Interp& interp, uint64_t value) {
  interp.cpu.reg(Gpr::kRax) = static_cast<uint32_t>(value);
  interp.cpu.reg(Gpr::kRdx) = static_cast<uint32_t>(value >> 32);
}

uint32_t ecx(const Interp& interp) {
  return static_cast<uint32_t>(interp.cpu.reg(Gpr::kRcx));
}

void rdtsc(Interp& interp, const Insn&) {
  if ((interp.cpu.cr4 & cr4::kTsd) && interp.cpl() != 0) throw_gp(0);
  set_edx_eax(interp, interp.context.tsc());
}

void rdtscp(Interp& interp, const Insn& insn) {
  rdtsc(interp, insn);
  interp.cpu.reg(Gpr::kRcx) = static_cast<uint32_t>(interp.cpu.msr.tsc_aux);
}

void rdpmc(Interp& interp, const Insn&) {
  if (!(interp.cpu.cr4 & cr4::kPce) && interp.cpl() != 0) throw_gp(0);
  if (ecx(interp) >= interp.cpu.msr.perf_counter.size()) throw_gp(0);
  set_edx_eax(interp, interp.cpu.msr.perf_counter[ecx(interp)]);
}

void rdmsr_instruction(Interp& interp, const Insn&) {
  require_cpl0(interp);
  uint64_t value = 0;
  if (!rdmsr(interp.context, ecx(interp), value)) throw_gp(0);
  set_edx_eax(interp, value);
}

void wrmsr_instruction(Interp& interp, const Insn&) {
  require_cpl0(interp);
  const uint64_t value = (interp.cpu.reg(Gpr::kRax) & 0xffffffff) | interp.cpu.reg(Gpr::kRdx) << 32;
  if (!wrmsr(interp.context, ecx(interp), value)) throw_gp(0);
  interp.mode_changed();
}

void cpuid_instruction(Interp& interp, const Insn&) {
  const CpuidRegisters r =
      cpuid(interp.context.model, interp.cpu, static_cast<uint32_t>(interp.cpu.reg(Gpr::kRax)), ecx(interp));
  interp.cpu.reg(Gpr::kRax) = r.eax;
  interp.cpu.reg(Gpr::kRbx) = r.ebx;
  interp.cpu.reg(Gpr::kRcx) = r.ecx;
  interp.cpu.reg(Gpr::kRdx) = r.edx;
}

/// With one CPU nothing but an interrupt or a device writes the monitored line; MWAIT may end for any reason.
void monitor(Interp& interp, const Insn& insn) {
  if (interp.cpl() != 0) throw_ud();
  if (ecx(interp) != 0) throw_gp(0);
  const uint64_t mask = ~uint64_t{0} >> (64 - 8 * insn.address_size);
  static_cast<void>(interp.read<uint8_t>(insn.segment, interp.cpu.reg(Gpr::kRax) & mask));
}

void mwait(Interp& interp, const Insn&) {
  if (interp.cpl() != 0) throw_ud();
  if ((ecx(interp) & ~1u) != 0) throw_gp(0);
}

}  // namespace

namespace bind {

Handler SGDT(const Insn&) {
  return store_table<&CpuState::gdtr>;
}
Handler SIDT(const Insn&) {
  return store_table<&CpuState::idtr>;
}
Handler LGDT(const Insn&) {
  return load_table<&CpuState::gdtr>;
}
Handler LIDT(const Insn&) {
  return load_table<&CpuState::idtr>;
}
Handler SLDT(const Insn&) {
  return store_selector<&CpuState::ldtr>;
}
Handler STR(const Insn&) {
  return store_selector<&CpuState::tr>;
}
Handler LLDT(const Insn&) {
  return lldt;
}
Handler LTR(const Insn&) {
  return ltr;
}
Handler SMSW(const Insn&) {
  return smsw;
}
Handler LMSW(const Insn&) {
  return lmsw;
}
Handler CLTS(const Insn&) {
  return clts;
}
Handler INVLPG(const Insn&) {
  return invlpg;
}
Handler INVD(const Insn&) {
  return cpl0_nothing;
}
Handler WBINVD(const Insn&) {
  return cpl0_nothing;
}
Handler CLFLUSH(const Insn&) {
  return clflush;
}
Handler LFENCE(const Insn&) {
  return nothing;
}
Handler MFENCE(const Insn&) {
  return nothing;
}
Handler SFENCE(const Insn&) {
  return nothing;
}
Handler HLT(const Insn&) {
  return hlt;
}
Handler RDTSC(const Insn&) {
  return rdtsc;
}
Handler RDTSCP(const Insn&) {
  return rdtscp;
}
Handler RDPMC(const Insn&) {
  return rdpmc;
}
Handler RDMSR(const Insn&) {
  return rdmsr_instruction;
}
Handler WRMSR(const Insn&) {
  return wrmsr_instruction;
}
Handler CPUID(const Insn&) {
  return cpuid_instruction;
}
Handler MONITOR(const Insn&) {
  return monitor;
}
Handler MWAIT(const Insn&) {
  return mwait;
}
// 64-bit mode's system calls: no model offers them to 32-bit code.
Handler SYSCALL(const Insn&) {
  return ud_handler();
}
Handler SYSRET(const Insn&) {
  return ud_handler();
}
Handler SWAPGS(const Insn&) {
  return ud_handler();
}

}  // namespace bind

}  // namespace vireo::interp
