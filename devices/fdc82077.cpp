#include "devices/fdc82077.h"

#include <algorithm>

#include "core/check.h"
#include "core/log.h"
#include "devices/fdc82077_command.h"

namespace vireo {

namespace {

constexpr uint8_t kDorSelect = 0x03, kDorNotReset = 0x04, kDorDmaGate = 0x08;
constexpr uint8_t kDsrReset = 0x80;
constexpr uint8_t kMsrRequest = 0x80, kMsrToHost = 0x40, kMsrNonDma = 0x20, kMsrBusy = 0x10;
constexpr uint8_t kDiskChange = 0x80;
constexpr uint8_t kConfigFifoOff = 0x20, kConfigLockable = 0x2f;
constexpr uint8_t kPerpendicularKept = 0x3c;

constexpr VirtualNs kResetNs = 20'000;

}  // namespace

Fdc82077::Fdc82077(Scheduler& scheduler, IrqLine irq, DmaChannel& dma)
    : irq_(std::move(irq)),
      dma_(dma),
      execution_timer_(scheduler, [this] { transfer_step(); }),
      reset_timer_(scheduler, [this] { end_software_reset(); }),
      seek_timers_{{{scheduler, [this] { end_seek(0); }},
                    {scheduler, [this] { end_seek(1); }},
                    {scheduler, [this] { end_seek(2); }},
                    {scheduler, [this] { end_seek(3); }}}} {
  reset();
}

void Fdc82077::connect(unsigned drive, FloppyDriveType type) {
  CHECK(drive < kDrives);
  drives_[drive].type = type;
}

void Fdc82077::insert(unsigned drive, std::unique_ptr<BlockBackend> medium) {
  CHECK(drive < kDrives);
  const std::optional<FloppyFormat> format = floppy_format_of_size(medium->size());
  CHECK(format.has_value());
  drives_[drive].medium = std::move(medium);
  drives_[drive].format = format;
  drives_[drive].changed = true;
}

std::unique_ptr<BlockBackend> Fdc82077::eject(unsigned drive) {
  CHECK(drive < kDrives);
  drives_[drive].changed = true;
  drives_[drive].format.reset();
  return std::move(drives_[drive].medium);
}

// --- drives --------------------------------------------------------------------------------------

uint8_t Fdc82077::Drive::last_cylinder() const {
  constexpr uint8_t kLast40 = 41, kLast80 = 83;  // real ones go a little past the format's end
  return type == FloppyDriveType::k360K ? kLast40 : kLast80;
}

/// 40-cylinder media in a 1.2M drive, whose steps are half as wide.
bool Fdc82077::Drive::double_steps() const {
  return type == FloppyDriveType::k1200K && format && format->cylinders == 40;
}

uint8_t Fdc82077::Drive::medium_cylinder() const {
  return double_steps() ? head_cylinder / 2 : head_cylinder;
}

void Fdc82077::Drive::move_heads(int steps) {
  if (!there() || steps == 0) return;
  head_cylinder = static_cast<uint8_t>(std::clamp(head_cylinder + steps, 0, int{last_cylinder()}));
  if (medium) changed = false;  // a step pulse resets the line if there is a diskette
}

void Fdc82077::Drive::state(StateArchive& ar) {
  ar.field("type", type);
  ar.field("head_cylinder", head_cylinder);
  ar.field("present_cylinder", present_cylinder);
  ar.field("changed", changed);
  ar.field("seeking", seeking);
  ar.field("seek_target", seek_target);
  ar.field("recalibrating", recalibrating);
  ar.field("seek_ended", seek_ended);
  ar.field("seek_status", seek_status);
}

// --- registers -----------------------------------------------------------------------------------

uint8_t Fdc82077::read_register(uint32_t offset) {
  switch (offset) {
    case 2:
      return dor_;
    case 3:
      return tdr_;
    case 4:
      return main_status();
    case 5:
      return read_fifo();
    default:
      return 0xff;  // status registers A and B float in PC/AT mode
  }
}

void Fdc82077::write_register(uint32_t offset, uint8_t value) {
  switch (offset) {
    case 2:
      return write_dor(value);
    case 3:
      tdr_ = value & 3;
      return;
    case 4:
      rate_ = static_cast<FloppyRate>(value & 3);
      if ((value & kDsrReset) != 0) {  // clears itself
        begin_software_reset();
        if (!in_reset()) reset_timer_.arm_after(kResetNs);
      }
      return;
    case 5:
      return write_fifo(value);
    default:
      return;
  }
}

uint8_t Fdc82077::read_digital_input(uint32_t) {
  const Drive& drive = drives_[dor_ & kDorSelect];
  return drive.there() && (drive.changed || !drive.medium) ? kDiskChange : 0;
}

void Fdc82077::write_configuration_control(uint32_t, uint8_t value) {
  rate_ = static_cast<FloppyRate>(value & 3);
}

bool Fdc82077::in_reset() const {
  return (dor_ & kDorNotReset) == 0;
}

void Fdc82077::write_dor(uint8_t value) {
  const bool was_in_reset = in_reset();
  dor_ = value;
  if (in_reset() && !was_in_reset) begin_software_reset();
  if (!in_reset() && was_in_reset) reset_timer_.arm_after(kResetNs);
  set_interrupt(interrupt_pending_);  // the gate may have changed
}

uint8_t Fdc82077::main_status() const {
  if (in_reset() || reset_timer_.armed()) return 0;
  uint8_t status = 0;
  for (unsigned i = 0; i < kSelects; ++i) {
    if (drives_[i].seeking) status |= static_cast<uint8_t>(1 << i);
  }
  switch (phase_) {
    case Phase::kCommand:
      return status | kMsrRequest | (command_.empty() ? 0 : kMsrBusy);
    case Phase::kExecution: {
      status |= kMsrBusy;
      if (!bytes_ready_) return status;
      const bool to_host = transfer_ != Transfer::kWrite && transfer_ != Transfer::kFormat;
      return status | kMsrRequest | kMsrNonDma | (to_host ? kMsrToHost : 0);
    }
    case Phase::kResult:
      return status | kMsrRequest | kMsrToHost | kMsrBusy;
  }
  return status;
}

// --- phases --------------------------------------------------------------------------------------

uint8_t Fdc82077::read_fifo() {
  if (phase_ == Phase::kExecution && bytes_ready_ && transfer_ != Transfer::kWrite &&
      transfer_ != Transfer::kFormat) {
    const uint8_t value = bytes_[byte_position_++];
    set_interrupt(false);
    if (byte_position_ == bytes_.size()) {
      bytes_exchanged(false);
    } else {
      set_interrupt(true);
    }
    return value;
  }
  if (phase_ != Phase::kResult || in_reset()) return 0;
  set_interrupt(false);
  const uint8_t value = result_.back();
  result_.pop_back();
  if (result_.empty()) enter_command_phase();
  return value;
}

void Fdc82077::write_fifo(uint8_t value) {
  if (in_reset() || reset_timer_.armed()) return;
  if (phase_ == Phase::kExecution && bytes_ready_ &&
      (transfer_ == Transfer::kWrite || transfer_ == Transfer::kFormat)) {
    bytes_[byte_position_++] = value;
    set_interrupt(false);
    if (byte_position_ == bytes_.size()) {
      bytes_exchanged(false);
    } else {
      set_interrupt(true);
    }
    return;
  }
  if (phase_ != Phase::kCommand) {
    guest_error(LogCategory::kFloppy, "byte {:#04x} for the FIFO while it does not accept commands", value);
    return;
  }
  command_.push_back(value);
  const Command* command = find_command(command_[0]);
  if (command == nullptr) return invalid_command();
  if (command_.size() < command->length) return;
  trace(LogCategory::kFloppy, "command {:02x}", fmt::join(command_, " "));
  (this->*command->run)();
}

void Fdc82077::enter_command_phase() {
  phase_ = Phase::kCommand;
  command_.clear();
  result_.clear();
}

void Fdc82077::enter_result_phase(std::initializer_list<uint8_t> bytes, bool interrupt) {
  phase_ = Phase::kResult;
  command_.clear();
  result_.assign(std::rbegin(bytes), std::rend(bytes));
  if (interrupt) set_interrupt(true);
}

void Fdc82077::set_interrupt(bool pending) {
  interrupt_pending_ = pending;
  irq_.set(pending && (dor_ & kDorDmaGate) != 0);
}

// --- resets --------------------------------------------------------------------------------------

void Fdc82077::begin_software_reset() {
  execution_timer_.disarm();
  reset_timer_.disarm();
  for (Timer& timer : seek_timers_) timer.disarm();
  for (Drive& drive : drives_) drive.seeking = drive.seek_ended = false;
  bytes_ready_ = false;
  resets_to_tell_ = 0;
  enter_command_phase();
  set_interrupt(false);
  perpendicular_ &= kPerpendicularKept;
  // LOCK covers the FIFO and precompensation; implied seeks and polling always go back to their defaults.
  configuration_ = locked_ ? configuration_ & kConfigLockable : kConfigFifoOff;
  if (!locked_) precompensation_track_ = 0;
}

void Fdc82077::end_software_reset() {
  // Polling is on after every reset, and its first round finds every drive's ready line changed
  // (82077AA, 4.2).
  resets_to_tell_ = kSelects;
  set_interrupt(true);
}

void Fdc82077::reset() {
  dor_ = tdr_ = 0;
  rate_ = FloppyRate::k250;
  locked_ = false;
  srt_hut_ = hlt_nd_ = configuration_ = perpendicular_ = sc_or_eot_ = 0;
  for (Drive& drive : drives_) drive.present_cylinder = 0;
  begin_software_reset();
}

void Fdc82077::state(StateArchive& ar) {
  ar.field("irq", irq_);
  ar.fields("drive", drives_);
  ar.field("execution_timer", execution_timer_);
  ar.field("reset_timer", reset_timer_);
  ar.fields("seek_timer", seek_timers_);
  ar.field("dor", dor_);
  ar.field("tdr", tdr_);
  ar.field("rate", rate_);
  ar.field("interrupt_pending", interrupt_pending_);
  ar.field("resets_to_tell", resets_to_tell_);
  ar.field("phase", phase_);
  ar.field("command", command_);
  ar.field("result", result_);
  ar.field("srt_hut", srt_hut_);
  ar.field("hlt_nd", hlt_nd_);
  ar.field("configuration", configuration_);
  ar.field("precompensation_track", precompensation_track_);
  ar.field("perpendicular", perpendicular_);
  ar.field("locked", locked_);
  ar.field("sc_or_eot", sc_or_eot_);
  ar.field("transfer", transfer_);
  ar.field("transfer_select", transfer_select_);
  ar.field("transfer_head", transfer_head_);
  ar.field("id", id_);
  ar.field("end_of_track", end_of_track_);
  ar.field("multi_track", multi_track_);
  ar.field("skip", skip_);
  ar.field("mfm", mfm_);
  ar.field("sectors_left", sectors_left_);
  ar.field("fill_byte", fill_byte_);
  ar.field("ids_passed", ids_passed_);
  ar.field("bytes", bytes_);
  uint64_t position = byte_position_;
  ar.field("byte_position", position);
  ar.field("bytes_ready", bytes_ready_);
  if (!ar.loading()) return;
  if (transfer_select_ >= kSelects || resets_to_tell_ > kSelects || position > bytes_.size() ||
      (bytes_ready_ && position == bytes_.size()) || (phase_ == Phase::kResult && result_.empty())) {
    throw StateError("floppy controller state out of range");
  }
  byte_position_ = position;
}

}  // namespace vireo
