// Hardware task switching with 286 and 386 task-state segments. Source: SDM 3A chapter 7.
#include <array>

#include "core/interp/protection.h"

namespace vireo::interp {

namespace {

constexpr uint64_t kDr6TaskSwitch = 1u << 15;
constexpr uint64_t kDr7LocalEnables = 0x155;

/// Where a TSS keeps things. `field` is the size of registers and the distance between fields.
struct TssLayout {
  unsigned field;
  unsigned minimum_limit;
  unsigned eip, eflags, gpr, sreg, sreg_count, ldt;
};
constexpr TssLayout kTss286 = {2, 0x2b, 0x0e, 0x10, 0x12, 0x22, 4, 0x2a};
constexpr TssLayout kTss386 = {4, 0x67, 0x20, 0x24, 0x28, 0x48, 6, 0x60};
constexpr unsigned kCr3Offset = 0x1c, kTrapOffset = 0x64;

const TssLayout& layout_of(bool is_386) {
  return is_386 ? kTss386 : kTss286;
}

uint32_t read_field(Interp& interp, Gla address, unsigned size) {
  return size == 4 ? interp.read_system<uint32_t>(address) : interp.read_system<uint16_t>(address);
}

void write_field(Interp& interp, Gla address, unsigned size, uint64_t value) {
  if (size == 4) {
    interp.write_system<uint32_t>(address, static_cast<uint32_t>(value));
  } else {
    interp.write_system<uint16_t>(address, static_cast<uint16_t>(value));
  }
}

/// The dynamic part of a TSS.
struct TaskState {
  uint32_t cr3 = 0, eip = 0, eflags = 0;
  std::array<uint32_t, 8> gpr{};
  std::array<uint16_t, 6> sreg{};
  uint16_t ldt = 0;
  bool trap = false;
};

TaskState read_task(Interp& interp, Gla base, bool is_386) {
  const TssLayout& layout = layout_of(is_386);
  TaskState task;
  task.eip = read_field(interp, base + layout.eip, layout.field);
  task.eflags = read_field(interp, base + layout.eflags, layout.field);
  for (unsigned i = 0; i < 8; ++i) {
    task.gpr[i] = read_field(interp, base + layout.gpr + i * layout.field, layout.field);
    if (!is_386) task.gpr[i] |= 0xffff0000;
  }
  for (unsigned i = 0; i < layout.sreg_count; ++i) {
    task.sreg[i] =
        static_cast<uint16_t>(read_field(interp, base + layout.sreg + i * layout.field, layout.field));
  }
  task.ldt = static_cast<uint16_t>(read_field(interp, base + layout.ldt, layout.field));
  if (is_386) {
    task.cr3 = read_field(interp, base + kCr3Offset, 4);
    task.trap = read_field(interp, base + kTrapOffset, 2) & 1;
  }
  return task;
}

/// Everything that save_task() writes must be writable before the first byte changes.
void probe_task(Interp& interp, Gla base, bool is_386) {
  const TssLayout& layout = layout_of(is_386);
  const Gla last = base + (layout.sreg + layout.sreg_count * layout.field - 1);
  interp.write_system<uint8_t>(base + layout.eip, interp.read_system<uint8_t>(base + layout.eip));
  interp.write_system<uint8_t>(last, interp.read_system<uint8_t>(last));
}

void save_task(Interp& interp, Gla base, bool is_386, uint64_t rip, uint64_t eflags) {
  const TssLayout& layout = layout_of(is_386);
  const CpuState& cpu = interp.cpu;
  write_field(interp, base + layout.eip, layout.field, rip);
  write_field(interp, base + layout.eflags, layout.field, eflags);
  for (unsigned i = 0; i < 8; ++i)
    write_field(interp, base + layout.gpr + i * layout.field, layout.field, cpu.gpr[i]);
  for (unsigned i = 0; i < layout.sreg_count; ++i) {
    interp.write_system<uint16_t>(base + layout.sreg + i * layout.field, cpu.seg[i].selector);
  }
}

void load_ldt(Interp& interp, uint16_t selector) {
  Segment& ldtr = interp.cpu.ldtr;
  ldtr = null_segment(selector);
  if (is_null(selector)) return;
  const uint32_t code = error_code_of(selector);
  if (selector & 4) throw_ts(code);
  const auto descriptor = read_descriptor(interp, selector);
  if (!descriptor || !descriptor->is_system_type(system_type::kLdt) || !descriptor->present()) throw_ts(code);
  ldtr = descriptor->segment(selector);
}

void load_task_cs(Interp& interp, uint16_t selector, uint32_t external) {
  const uint32_t code = error_code_of(selector, external);
  if (is_null(selector)) throw_ts(code);
  auto descriptor = read_descriptor(interp, selector);
  const unsigned rpl = rpl_of(selector);
  if (!descriptor || !descriptor->is_code()) throw_ts(code);
  if (descriptor->is_conforming() ? descriptor->dpl() > rpl : descriptor->dpl() != rpl) throw_ts(code);
  if (!descriptor->present()) throw_np(code);
  mark_accessed(interp, selector, *descriptor);
  enter_code_segment(interp, descriptor->segment(selector), rpl);
}

void load_task_ss(Interp& interp, uint16_t selector, uint32_t external) {
  const uint32_t code = error_code_of(selector, external);
  if (is_null(selector)) throw_ts(code);
  auto descriptor = read_descriptor(interp, selector);
  if (!descriptor || !descriptor->is_writable_data() || rpl_of(selector) != interp.cpl() ||
      descriptor->dpl() != interp.cpl()) {
    throw_ts(code);
  }
  if (!descriptor->present()) throw_ss(code);
  mark_accessed(interp, selector, *descriptor);
  interp.cpu.segment(SegReg::kSs) = descriptor->segment(selector);
}

void load_task_data(Interp& interp, SegReg which, uint16_t selector, uint32_t external) {
  if (is_null(selector)) return;
  const uint32_t code = error_code_of(selector, external);
  auto descriptor = read_descriptor(interp, selector);
  if (!descriptor || !descriptor->is_readable()) throw_ts(code);
  if (!descriptor->is_conforming() &&
      (descriptor->dpl() < interp.cpl() || descriptor->dpl() < rpl_of(selector))) {
    throw_ts(code);
  }
  if (!descriptor->present()) throw_np(code);
  mark_accessed(interp, selector, *descriptor);
  interp.cpu.segment(which) = descriptor->segment(selector);
}

/// The last part of a switch, in the context of the new task: its segments may fault there.
void load_task_segments(Interp& interp, const TaskState& task, uint32_t external) {
  CpuState& cpu = interp.cpu;
  load_ldt(interp, task.ldt);
  if (cpu.v86()) {
    for (unsigned i = 0; i < 6; ++i) cpu.seg[i] = v86_segment(task.sreg[i]);
    enter_code_segment(interp, v86_segment(task.sreg[1]), 3);
  } else {
    load_task_cs(interp, task.sreg[1], external);
    load_task_ss(interp, task.sreg[2], external);
    for (SegReg which : {SegReg::kEs, SegReg::kDs, SegReg::kFs, SegReg::kGs}) {
      load_task_data(interp, which, task.sreg[static_cast<unsigned>(which)], external);
    }
    interp.mode_changed();
  }
  if (task.eip > cpu.segment(SegReg::kCs).limit) throw_gp(external);
}

}  // namespace

Descriptor task_gate_tss(Interp& interp, uint16_t selector, uint32_t external) {
  const uint32_t code = error_code_of(selector, external);
  if (is_null(selector) || (selector & 4)) throw_gp(code);
  const auto descriptor = read_descriptor(interp, selector);
  if (!descriptor || !descriptor->is_available_tss()) throw_gp(code);
  if (!descriptor->present()) throw_np(code);
  return *descriptor;
}

void switch_task(Interp& interp, TaskSwitch reason, uint16_t selector, Descriptor tss, uint64_t return_rip,
                 uint64_t saved_rflags, uint32_t external) {
  CpuState& cpu = interp.cpu;
  const bool is_386 = tss.gate_is_386();
  const bool old_is_386 = cpu.tr.type() & 8;
  const bool nested = reason == TaskSwitch::kCall || reason == TaskSwitch::kInterrupt;
  if (tss.limit() < layout_of(is_386).minimum_limit) throw_ts(error_code_of(selector, external));
  if (cpu.tr.limit < layout_of(old_is_386).minimum_limit) throw_ts(error_code_of(cpu.tr.selector, external));

  const Gla old_base{cpu.tr.base};
  const Gla new_base{tss.base()};
  TaskState task = read_task(interp, new_base, is_386);
  probe_task(interp, old_base, old_is_386);
  if (nested) interp.write_system<uint16_t>(new_base, cpu.tr.selector);

  if (!nested) mark_busy(interp, cpu.tr.selector, false);
  save_task(interp, old_base, old_is_386, return_rip, saved_rflags);
  if (reason != TaskSwitch::kIret) mark_busy(interp, selector, true);
  if (nested) task.eflags |= rflags::kNt;

  // From here on the new task runs: later faults are its own.
  tss.high |= 1u << 9;
  cpu.tr = tss.segment(selector);
  cpu.cr0 |= cr0::kTs;
  cpu.dr[7] &= ~kDr7LocalEnables;
  if (is_386 && cpu.paging()) {
    if ((cpu.cr4 & cr4::kPae) && !load_pdptes(interp, task.cr3)) throw_gp(external);
    cpu.cr3 = task.cr3;
    interp.mmu.cr3_loaded();
  }
  for (unsigned i = 0; i < 8; ++i) cpu.gpr[i] = task.gpr[i];
  cpu.rip = interp.next_rip = task.eip;
  for (unsigned i = 0; i < 6; ++i) cpu.seg[i] = null_segment(task.sreg[i]);
  cpu.cpl = static_cast<uint8_t>(rpl_of(task.sreg[1]));
  constexpr uint64_t kTaskFlags = rflags::kArithmetic | rflags::kTf | rflags::kIf | rflags::kDf |
                                  rflags::kIopl | rflags::kNt | rflags::kRf | rflags::kVm | rflags::kAc |
                                  rflags::kVif | rflags::kVip | rflags::kId;
  set_flags(interp, task.eflags, kTaskFlags);
  interp.mode_changed();
  load_task_segments(interp, task, external);
  if (task.trap) cpu.pending_dr6 |= kDr6TaskSwitch;
}

}  // namespace vireo::interp
