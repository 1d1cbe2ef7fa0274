#include "devices/system_control.h"

namespace vireo {

void SystemPortA::write_port(uint32_t, uint8_t value) {
  const bool reset_rises = value & ~value_ & kFastReset;
  value_ = value & (kA20 | kFastReset);
  set_a20_(value & kA20);
  if (reset_rises) reset_cpu_();
}

void FpuErrorLatch::set_ferr(bool asserted) {
  if (asserted == ferr_) return;
  ferr_ = asserted;
  if (asserted) irq13_.raise();
}

void FpuErrorLatch::write_port(uint32_t, uint8_t) {
  irq13_.lower();
}

void FpuErrorLatch::reset() {
  ferr_ = false;
  irq13_.lower();
}

void FpuErrorLatch::state(StateArchive& ar) {
  ar.field("ferr", ferr_);
  ar.field("irq13", irq13_);
}

uint64_t DebugConsole::read(uint32_t, unsigned) {
  return 0xe9;
}

void DebugConsole::write(uint32_t, unsigned, uint64_t value) {
  const uint8_t byte = static_cast<uint8_t>(value);
  backend_.write({&byte, 1});
}

}  // namespace vireo
