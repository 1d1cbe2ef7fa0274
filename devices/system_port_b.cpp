#include "devices/system_port_b.h"

namespace vireo {

namespace {

constexpr uint8_t kRefreshToggle = 1 << 4;
constexpr uint8_t kOutput2 = 1 << 5;
constexpr uint8_t kIochkStatus = 1 << 6;
constexpr uint8_t kSerrStatus = 1 << 7;

// Programs time delays by this bit: it changes with every DRAM refresh, 18 clocks of the interval timer.
constexpr uint64_t kRefreshClocks = 18;

}  // namespace

SystemPortB::SystemPortB(Scheduler& scheduler, Pit8254& pit, IrqLine& nmi)
    : scheduler_(scheduler), pit_(pit), nmi_(nmi) {}

uint8_t SystemPortB::read_port(uint32_t) {
  uint8_t value = control_;
  const uint64_t refreshes =
      muldiv64(static_cast<uint64_t>(scheduler_.now()), Pit8254::kFrequencyHz, kRefreshClocks * kNsPerSecond);
  if (refreshes & 1) value |= kRefreshToggle;
  if (pit_.output2()) value |= kOutput2;
  if (iochk_) value |= kIochkStatus;
  if (serr_) value |= kSerrStatus;
  return value;
}

void SystemPortB::write_port(uint32_t, uint8_t value) {
  control_ = value & (kGate2 | kSpeakerData | kSerrDisable | kIochkDisable);
  if (control_ & kSerrDisable) serr_ = false;
  if (control_ & kIochkDisable) iochk_ = false;
  pit_.set_gate2(control_ & kGate2);
  update_nmi();
  if (speaker_hook_) speaker_hook_();
}

void SystemPortB::assert_iochk() {
  if (!(control_ & kIochkDisable)) iochk_ = true;
  update_nmi();
}

void SystemPortB::assert_serr() {
  if (!(control_ & kSerrDisable)) serr_ = true;
  update_nmi();
}

void SystemPortB::set_nmi_enabled(bool enabled) {
  nmi_enabled_ = enabled;
  update_nmi();
}

void SystemPortB::update_nmi() {
  nmi_.set(nmi_enabled_ && (iochk_ || serr_));
}

void SystemPortB::reset() {
  control_ = 0;
  iochk_ = false;
  serr_ = false;
  nmi_enabled_ = true;
  pit_.set_gate2(false);
  update_nmi();
  if (speaker_hook_) speaker_hook_();
}

void SystemPortB::state(StateArchive& ar) {
  ar.field("control", control_);
  ar.field("iochk", iochk_);
  ar.field("serr", serr_);
  ar.field("nmi_enabled", nmi_enabled_);
  ar.field("nmi", nmi_);
}

}  // namespace vireo
