#include "hwassist/kvm_regs.h"

#include <cstring>

namespace vireo::hwassist {

namespace {

/// In CpuState's order.
constexpr __u64 kvm_regs::*kGprs[] = {
    &kvm_regs::rax, &kvm_regs::rcx, &kvm_regs::rdx, &kvm_regs::rbx, &kvm_regs::rsp, &kvm_regs::rbp,
    &kvm_regs::rsi, &kvm_regs::rdi, &kvm_regs::r8,  &kvm_regs::r9,  &kvm_regs::r10, &kvm_regs::r11,
    &kvm_regs::r12, &kvm_regs::r13, &kvm_regs::r14, &kvm_regs::r15,
};
constexpr kvm_segment kvm_sregs::*kSegments[] = {&kvm_sregs::es, &kvm_sregs::cs, &kvm_sregs::ss,
                                                 &kvm_sregs::ds, &kvm_sregs::fs, &kvm_sregs::gs};

kvm_segment to_kvm(const Segment& from) {
  kvm_segment to{};
  to.base = from.base;
  to.limit = from.limit;
  to.selector = from.selector;
  to.type = static_cast<__u8>(from.type());
  to.s = from.is_code_or_data();
  to.dpl = static_cast<__u8>(from.dpl());
  to.present = from.present();
  to.avl = (from.access >> 12) & 1;
  to.l = (from.access & Segment::kL) != 0;
  to.db = (from.access & Segment::kDb) != 0;
  to.g = (from.access & Segment::kG) != 0;
  to.unusable = !from.present();
  return to;
}

Segment from_kvm(const kvm_segment& from) {
  Segment to;
  to.base = from.base;
  to.limit = from.limit;
  to.selector = from.selector;
  if (from.unusable) return to;
  to.access = static_cast<uint16_t>(from.type | from.s << 4 | from.dpl << 5 | from.present << 7 |
                                    from.avl << 12 | from.l << 13 | from.db << 14 | from.g << 15);
  return to;
}

}  // namespace

void to_kvm(const CpuState& cpu, kvm_regs& regs) {
  for (size_t i = 0; i < std::size(kGprs); ++i) regs.*kGprs[i] = cpu.gpr[i];
  regs.rip = cpu.rip;
  // Hardware keeps there that it has stopped inside a REP instruction.
  regs.rflags = cpu.rflags | (cpu.rep_incomplete ? rflags::kRf : 0);
}

void from_kvm(const kvm_regs& regs, CpuState& cpu) {
  for (size_t i = 0; i < std::size(kGprs); ++i) cpu.gpr[i] = regs.*kGprs[i];
  cpu.rip = regs.rip;
  cpu.rflags = regs.rflags;
  cpu.rep_incomplete = false;
}

void to_kvm(const CpuState& cpu, kvm_sregs& sregs) {
  sregs = {};
  for (size_t i = 0; i < std::size(kSegments); ++i) sregs.*kSegments[i] = to_kvm(cpu.seg[i]);
  // KVM takes CPL from SS.DPL.
  sregs.ss.dpl = cpu.cpl;
  sregs.ldt = to_kvm(cpu.ldtr);
  sregs.tr = to_kvm(cpu.tr);
  sregs.gdt.base = cpu.gdtr.base;
  sregs.gdt.limit = cpu.gdtr.limit;
  sregs.idt.base = cpu.idtr.base;
  sregs.idt.limit = cpu.idtr.limit;
  sregs.cr0 = cpu.cr0;
  sregs.cr2 = cpu.cr2;
  sregs.cr3 = cpu.cr3;
  sregs.cr4 = cpu.cr4;
  sregs.cr8 = cpu.cr8;
  sregs.efer = cpu.msr.efer;
  sregs.apic_base = cpu.msr.apic_base;
}

void from_kvm(const kvm_sregs& sregs, CpuState& cpu) {
  for (size_t i = 0; i < std::size(kSegments); ++i) cpu.seg[i] = from_kvm(sregs.*kSegments[i]);
  cpu.ldtr = from_kvm(sregs.ldt);
  cpu.tr = from_kvm(sregs.tr);
  cpu.gdtr = {sregs.gdt.base, sregs.gdt.limit};
  cpu.idtr = {sregs.idt.base, sregs.idt.limit};
  cpu.cr0 = sregs.cr0;
  cpu.cr2 = sregs.cr2;
  cpu.cr3 = sregs.cr3;
  cpu.cr4 = sregs.cr4;
  cpu.msr.efer = sregs.efer;
  cpu.cpl = (sregs.cr0 & cr0::kPe) == 0 ? 0 : sregs.ss.dpl;
}

void to_kvm(const CpuState& cpu, kvm_vcpu_events& events) {
  events = {};
  events.flags = KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
  if (cpu.interrupt_shadow == CpuState::Shadow::kSti) events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
  if (cpu.interrupt_shadow == CpuState::Shadow::kMovSs) events.interrupt.shadow = KVM_X86_SHADOW_INT_MOV_SS;
  events.nmi.masked = cpu.nmi_blocked;
  events.nmi.pending = cpu.nmi_pending;
  switch (cpu.accepted.kind) {
    case AcceptedEvent::Kind::kNone:
      break;
    case AcceptedEvent::Kind::kExternal:
      events.interrupt.injected = 1;
      events.interrupt.nr = cpu.accepted.vector;
      break;
    case AcceptedEvent::Kind::kNmi:
      events.nmi.injected = 1;
      break;
    case AcceptedEvent::Kind::kException:
      events.exception.injected = 1;
      events.exception.nr = cpu.accepted.vector;
      events.exception.has_error_code = cpu.accepted.has_error_code;
      events.exception.error_code = cpu.accepted.error_code;
      break;
  }
}

void from_kvm(const kvm_vcpu_events& events, CpuState& cpu) {
  cpu.interrupt_shadow = (events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS) != 0 ? CpuState::Shadow::kMovSs
                         : events.interrupt.shadow != 0                             ? CpuState::Shadow::kSti
                                                                                    : CpuState::Shadow::kNone;
  cpu.nmi_blocked = events.nmi.masked;
  cpu.nmi_pending = events.nmi.pending;
  cpu.accepted = {};
  if (events.exception.injected || events.exception.pending) {
    cpu.accepted = {AcceptedEvent::Kind::kException, events.exception.nr,
                    events.exception.has_error_code != 0, events.exception.error_code};
  } else if (events.nmi.injected) {
    cpu.accepted = {AcceptedEvent::Kind::kNmi, 2, false, 0};
  } else if (events.interrupt.injected && !events.interrupt.soft) {  // INT n is executed again
    cpu.accepted = {AcceptedEvent::Kind::kExternal, events.interrupt.nr, false, 0};
  }
}

void to_kvm(const CpuState& cpu, kvm_debugregs& debug) {
  debug = {};
  for (unsigned i = 0; i < 4; ++i) debug.db[i] = cpu.dr[i];
  debug.dr6 = cpu.dr[6];
  debug.dr7 = cpu.dr[7];
}

void from_kvm(const kvm_debugregs& debug, CpuState& cpu) {
  for (unsigned i = 0; i < 4; ++i) cpu.dr[i] = debug.db[i];
  cpu.dr[6] = debug.dr6;
  cpu.dr[7] = debug.dr7;
}

namespace {

/// XSTATE_BV, behind the FXSAVE image: x87 and SSE are not in their initial states.
constexpr size_t kXstateBv = 512;
/// As far as 32-bit guests and we know of it; behind it are bytes for software.
constexpr size_t kFxBytes = 416;

}  // namespace

void to_kvm(const FxState& fx, KvmXsave& xsave) {
  std::memset(&xsave, 0, sizeof xsave);
  std::memcpy(&xsave, &fx, kFxBytes);
  const uint64_t components = 3;
  std::memcpy(reinterpret_cast<uint8_t*>(&xsave) + kXstateBv, &components, sizeof components);
}

void from_kvm(const KvmXsave& xsave, FxState& fx) {
  const uint32_t mask = fx.mxcsr_mask;
  uint64_t components;
  std::memcpy(&components, reinterpret_cast<const uint8_t*>(&xsave) + kXstateBv, sizeof components);
  std::memcpy(&fx, &xsave, kFxBytes);
  fx.mxcsr_mask = mask;
  // What is in its initial state need not be in the image.
  if ((components & 1) == 0) {
    fx.fcw = 0x37f;
    fx.fsw = fx.fop = fx.fcs = fx.fds = 0;
    fx.ftw = 0;
    fx.fip = fx.fdp = 0;
    fx.st = {};
  }
  if ((components & 2) == 0) {
    fx.xmm = {};
  }
}

}  // namespace vireo::hwassist
