#include "core/machine/cpu_archive.h"

namespace vireo {

namespace {

void segment(StateArchive& ar, std::string_view name, Segment& s) {
  const std::string prefix(name);
  ar.field(prefix + ".selector", s.selector);
  ar.field(prefix + ".access", s.access);
  ar.field(prefix + ".limit", s.limit);
  ar.field(prefix + ".base", s.base);
}

void table(StateArchive& ar, std::string_view name, DescriptorTableRegister& t) {
  const std::string prefix(name);
  ar.field(prefix + ".base", t.base);
  ar.field(prefix + ".limit", t.limit);
}

}  // namespace

void cpu_state(StateArchive& ar, CpuState& cpu) {
  ar.field("gpr", cpu.gpr);
  ar.field("rip", cpu.rip);
  ar.field("rflags", cpu.rflags);
  constexpr std::string_view kSegmentNames[] = {"es", "cs", "ss", "ds", "fs", "gs"};
  for (size_t i = 0; i < cpu.seg.size(); ++i) segment(ar, kSegmentNames[i], cpu.seg[i]);
  segment(ar, "ldtr", cpu.ldtr);
  segment(ar, "tr", cpu.tr);
  table(ar, "gdtr", cpu.gdtr);
  table(ar, "idtr", cpu.idtr);
  ar.field("cr0", cpu.cr0);
  ar.field("cr2", cpu.cr2);
  ar.field("cr3", cpu.cr3);
  ar.field("cr4", cpu.cr4);
  ar.field("cr8", cpu.cr8);
  ar.field("dr", cpu.dr);
  ar.field("pdpte", cpu.pdpte);
  ar.field("msr", cpu.msr);  // uint64_t members only: no padding
  ar.field("fx", cpu.fx);
  ar.field("xcr0", cpu.xcr0);
  ar.field("cpl", cpu.cpl);
  ar.field("interrupt_shadow", cpu.interrupt_shadow);
  ar.field("rep_incomplete", cpu.rep_incomplete);
  ar.field("halted", cpu.halted);
  ar.field("nmi_blocked", cpu.nmi_blocked);
  ar.field("nmi_pending", cpu.nmi_pending);
  ar.field("shutdown", cpu.shutdown);
  ar.field("pending_dr6", cpu.pending_dr6);
  ar.field("accepted.kind", cpu.accepted.kind);
  ar.field("accepted.vector", cpu.accepted.vector);
  ar.field("accepted.has_error_code", cpu.accepted.has_error_code);
  ar.field("accepted.error_code", cpu.accepted.error_code);
  ar.field("tsc_offset", cpu.tsc_offset);
  ar.field("retired", cpu.retired);
}

}  // namespace vireo
