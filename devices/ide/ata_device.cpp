#include "devices/ide/ata_device.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/log.h"

namespace vireo {

namespace {

constexpr VirtualNs kResetNs = 500'000;
constexpr VirtualNs kDiagnosticNs = 500'000;
constexpr uint8_t kExecuteDiagnostic = 0x90;
constexpr uint8_t kDiagnosticPassed = 0x01;

}  // namespace

AtaDevice::AtaDevice(Scheduler& scheduler) : timer_(scheduler, [this] { on_timer(); }) {}

void AtaDevice::connect(IdeCable& cable, unsigned unit) {
  cable_ = &cable;
  unit_ = unit;
}

uint8_t AtaDevice::read_register(unsigned reg, bool previous) const {
  const TaskFile& file = previous ? previous_task_ : task_;
  switch (reg) {
    case kErrorFeatures:
      return error_;
    case kSectorCount:
      return file.sector_count;
    case kLbaLow:
      return file.lba_low;
    case kLbaMid:
      return file.lba_mid;
    case kLbaHigh:
      return file.lba_high;
    case kDevice:
      return device_ | 0xa0;  // obsolete bits that read as set
    default:
      return status_;
  }
}

void AtaDevice::write_register(unsigned reg, uint8_t value) {
  if ((status_ & (kBusy | kDataRequest)) != 0 && reg != kDevice) return;
  const auto shift_in = [&](uint8_t TaskFile::*field) {
    previous_task_.*field = task_.*field;
    task_.*field = value;
  };
  switch (reg) {
    case kErrorFeatures:
      return shift_in(&TaskFile::features);
    case kSectorCount:
      return shift_in(&TaskFile::sector_count);
    case kLbaLow:
      return shift_in(&TaskFile::lba_low);
    case kLbaMid:
      return shift_in(&TaskFile::lba_mid);
    case kLbaHigh:
      return shift_in(&TaskFile::lba_high);
    case kDevice:
      device_ = value;
      return;
    default:
      return;
  }
}

void AtaDevice::command(uint8_t opcode) {
  set_interrupt(false);
  if (phase_ == Phase::kReset) return;
  if ((status_ & kBusy) != 0 && !accepts_while_busy(opcode)) {
    guest_error(LogCategory::kDisk, "command {:#04x} while the drive is busy with {:#04x}", opcode, opcode_);
    return;
  }
  trace(LogCategory::kDisk,
        "drive {} command {:#04x} features {:#04x} count {:#04x} lba {:02x}{:02x}{:02x} device {:#04x}",
        unit_, opcode, task_.features, task_.sector_count, task_.lba_high, task_.lba_mid, task_.lba_low,
        device_);
  opcode_ = opcode;
  error_ = 0;
  status_ = kBusy | (status_ & (kReady | kSeekDone));
  phase_ = Phase::kCommandDelay;
  timer_.arm_after(command_delay(opcode));
}

uint32_t AtaDevice::read_data(unsigned size) {
  if (phase_ != Phase::kDataIn) return 0;
  uint32_t value = 0;
  const size_t n = std::min<size_t>(size, end_ - position_);
  std::memcpy(&value, buffer_.data() + position_, n);
  position_ += n;
  if (position_ == end_) block_read();
  return value;
}

void AtaDevice::write_data(unsigned size, uint32_t value) {
  if (phase_ != Phase::kDataOut) return;
  const size_t n = std::min<size_t>(size, end_ - position_);
  std::memcpy(buffer_.data() + position_, &value, n);
  position_ += n;
  if (position_ == end_) block_written();
}

void AtaDevice::acknowledge_interrupt() {
  set_interrupt(false);
}

void AtaDevice::set_interrupt(bool level) {
  if (interrupt_ == level) return;
  interrupt_ = level;
  if (cable_ != nullptr) cable_->interrupt_changed();
}

void AtaDevice::begin_reset(bool hardware) {
  timer_.disarm();
  set_interrupt(false);
  phase_ = Phase::kReset;
  status_ = kBusy;
  device_ = 0;
  position_ = end_ = 0;
  on_reset(hardware);
}

void AtaDevice::set_software_reset(bool asserted) {
  if (asserted) {
    begin_reset(false);
  } else if (phase_ == Phase::kReset) {
    timer_.arm_after(kResetNs);
  }
}

void AtaDevice::hardware_reset() {
  begin_reset(true);
  task_ = previous_task_ = {};
  // Real drives take seconds to spin up; firmware waits for as long as it sees BSY, so none is needed here.
  timer_.arm_after(kResetNs);
}

void AtaDevice::diagnose() {
  set_interrupt(false);
  if (phase_ == Phase::kReset) return;
  timer_.disarm();
  opcode_ = kExecuteDiagnostic;
  status_ = kBusy;
  device_ = 0;
  phase_ = Phase::kCommandDelay;
  timer_.arm_after(kDiagnosticNs);
}

void AtaDevice::dma_start() {
  if (phase_ != Phase::kDmaWait) return;
  phase_ = Phase::kDmaDelay;
  timer_.arm_after(dma_delay_);
}

void AtaDevice::dma_stop() {
  if (phase_ != Phase::kDmaDelay) return;
  timer_.disarm();
  phase_ = Phase::kDmaWait;
}

void AtaDevice::on_timer() {
  switch (phase_) {
    case Phase::kCommandDelay:
      if (opcode_ == kExecuteDiagnostic) {
        place_signature();
        go_idle(status_after_reset());
        if (unit_ == 0) set_interrupt(true);
        return;
      }
      return execute(opcode_);
    case Phase::kContinueDelay:
      return continue_command();
    case Phase::kDmaDelay:
      phase_ = Phase::kDmaWait;  // what it is again if the host's descriptors end too early
      return transfer_dma(cable_->dma());
    case Phase::kReset:
      place_signature();
      return go_idle(status_after_reset());
    default:
      return;
  }
}

void AtaDevice::go_idle(uint8_t status) {
  timer_.disarm();
  phase_ = Phase::kIdle;
  status_ = status;
  position_ = end_ = 0;
}

void AtaDevice::offer_block(size_t size, bool interrupt) {
  CHECK(size > 0 && size <= buffer_.size());
  phase_ = Phase::kDataIn;
  position_ = 0;
  end_ = size;
  status_ = kReady | kSeekDone | kDataRequest;
  if (interrupt) set_interrupt(true);
}

void AtaDevice::request_block(size_t size, bool interrupt) {
  if (buffer_.size() < size) buffer_.resize(size);
  phase_ = Phase::kDataOut;
  position_ = 0;
  end_ = size;
  status_ = kReady | kSeekDone | kDataRequest;
  if (interrupt) set_interrupt(true);
}

void AtaDevice::continue_after(VirtualNs delay) {
  phase_ = Phase::kContinueDelay;
  status_ = kReady | kSeekDone | kBusy;
  timer_.arm_after(delay);
}

void AtaDevice::start_dma(VirtualNs delay) {
  dma_delay_ = delay;
  phase_ = Phase::kDmaWait;
  status_ = kReady | kSeekDone | kBusy;
  cable_->dma_requested();
}

void AtaDevice::complete(bool interrupt) {
  go_idle(kReady | kSeekDone);
  if (interrupt) set_interrupt(true);
}

void AtaDevice::abort(uint8_t error_bits, uint8_t extra_status) {
  go_idle(kReady | kSeekDone | kError | extra_status);
  error_ = error_bits;
  set_interrupt(true);
}

void AtaDevice::place_signature() {
  task_.sector_count = 1;
  task_.lba_low = 1;
  task_.lba_mid = static_cast<uint8_t>(signature());
  task_.lba_high = static_cast<uint8_t>(signature() >> 8);
  previous_task_ = {};
  error_ = kDiagnosticPassed;
}

void AtaDevice::state(StateArchive& ar) {
  ar.field("timer", timer_);
  ar.field("phase", phase_);
  ar.field("task", task_);
  ar.field("previous_task", previous_task_);
  ar.field("device", device_);
  ar.field("error", error_);
  ar.field("status", status_);
  ar.field("opcode", opcode_);
  ar.field("interrupt", interrupt_);
  ar.field("dma_delay", dma_delay_);
  ar.field("buffer", buffer_);
  uint64_t position = position_, end = end_;
  ar.field("position", position);
  ar.field("end", end);
  if (ar.loading()) {
    if (end > buffer_.size() || position > end) throw StateError("IDE data buffer out of range");
    position_ = position;
    end_ = end;
  }
}

}  // namespace vireo
