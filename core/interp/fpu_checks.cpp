// What x87, MMX and SSE instructions check before they execute: #UD, #NM, #MF, and FERR# for CR0.NE = 0.
// Source: SDM 3A 2.5, 12.1 (MMX), 13.1 (SSE); SDM 1 8.7 (FERR#).
#include "core/interp/interp_impl.h"

namespace vireo::interp {

namespace {

constexpr uint16_t kErrorSummary = 1u << 7;

void check_task_switched(const CpuState& cpu) {
  if (cpu.cr0 & cr0::kTs) throw_nm();
}

}  // namespace

void Interp::check_x87(bool waiting) {
  if (cpu.cr0 & (cr0::kEm | cr0::kTs)) throw_nm();
  if (waiting) check_pending_x87_error();
}

void Interp::check_pending_x87_error() {
  if (!(cpu.fx.fsw & kErrorSummary)) [[likely]]
    return;
  if (cpu.cr0 & cr0::kNe) throw_mf();
  // The CPU raises FERR# and waits for the interrupt that the board makes of it. If none can come, go on:
  // real hardware would hang, unless IGNNE# is active.
  if (context.ferr) context.ferr(true);
  if ((cpu.rflags & rflags::kIf) && context.interrupts.interrupt_pending()) {
    recheck_interrupts();
    throw WaitForInterrupt{};
  }
}

void Interp::check_mmx() {
  if (cpu.cr0 & cr0::kEm) throw_ud();
  check_task_switched(cpu);
  check_pending_x87_error();
}

void Interp::check_sse() {
  if ((cpu.cr0 & cr0::kEm) || !(cpu.cr4 & cr4::kOsfxsr)) throw_ud();
  check_task_switched(cpu);
}

}  // namespace vireo::interp
