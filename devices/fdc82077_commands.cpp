// The command table, and the commands that move no data.
#include <algorithm>
#include <iterator>

#include "core/log.h"
#include "devices/fdc82077.h"
#include "devices/fdc82077_command.h"

namespace vireo {

namespace {

constexpr VirtualNs kSeekNs = 300'000;
constexpr VirtualNs kStepNs = 50'000;
constexpr int kRecalibrateSteps = 79;
constexpr uint8_t kVersion = 0x90;
constexpr uint8_t kOverwrite = 0x80, kPerpendicularDrives = 0x3c, kPerpendicularMode = 0x03;

}  // namespace

const Fdc82077::Command* Fdc82077::find_command(uint8_t opcode) {
  using F = Fdc82077;
  // PART ID (18h) came with the 82078; this chip takes it for invalid, which is how drivers tell them apart.
  static constexpr Command kCommands[] = {
      {0x9f, 0x02, 9, &F::read_track},
      {0xff, 0x03, 3, &F::specify},
      {0xff, 0x04, 2, &F::sense_drive_status},
      {0x3f, 0x05, 9, &F::write_data},
      {0x1f, 0x06, 9, &F::read_data},
      {0xff, 0x07, 2, &F::recalibrate},
      {0xff, 0x08, 1, &F::sense_interrupt_status},
      {0x3f, 0x09, 9, &F::write_data},  // WRITE DELETED DATA: raw images have no data marks
      {0xbf, 0x0a, 2, &F::read_id},
      {0x1f, 0x0c, 9, &F::read_deleted_data},
      {0xbf, 0x0d, 6, &F::format_track},
      {0xff, 0x0e, 1, &F::dump_registers},
      {0xff, 0x0f, 3, &F::seek},
      {0xff, 0x10, 1, &F::version},
      {0xff, 0x12, 2, &F::perpendicular_mode},
      {0xff, 0x13, 4, &F::configure},
      {0x7f, 0x14, 1, &F::lock},
      {0x1f, 0x16, 9, &F::verify},
      {0xbf, 0x8f, 3, &F::relative_seek},
  };
  const auto* found = std::find_if(std::begin(kCommands), std::end(kCommands), [&](const Command& command) {
    return (opcode & command.mask) == command.opcode;
  });
  return found == std::end(kCommands) ? nullptr : found;
}

void Fdc82077::invalid_command() {
  guest_error(LogCategory::kFloppy, "command {:#04x} is not one of the 82077AA's", command_[0]);
  enter_result_phase({fdc::kInvalid}, false);
}

void Fdc82077::specify() {
  srt_hut_ = command_[1];
  hlt_nd_ = command_[2];
  enter_command_phase();
}

void Fdc82077::sense_drive_status() {
  const unsigned select = command_[1] & fdc::kUnitSelect;
  const Drive& drive = drives_[select];
  uint8_t st3 = static_cast<uint8_t>(fdc::kReady | fdc::kTwoSide |
                                     (command_[1] & (fdc::kHeadSelect | fdc::kUnitSelect)));
  if (drive.there() && drive.head_cylinder == 0) st3 |= fdc::kTrack0;
  if (drive.medium && drive.medium->read_only()) st3 |= fdc::kWriteProtected;
  enter_result_phase({st3}, false);
}

void Fdc82077::sense_interrupt_status() {
  set_interrupt(false);
  if (resets_to_tell_ > 0) {
    const unsigned select = kSelects - resets_to_tell_--;
    return enter_result_phase(
        {static_cast<uint8_t>(fdc::kReadyChanged | select), drives_[select].present_cylinder}, false);
  }
  const auto ended =
      std::find_if(drives_.begin(), drives_.end(), [](const Drive& drive) { return drive.seek_ended; });
  if (ended == drives_.end()) return enter_result_phase({fdc::kInvalid}, false);
  ended->seek_ended = false;
  enter_result_phase({ended->seek_status, ended->present_cylinder}, false);
  if (std::any_of(drives_.begin(), drives_.end(), [](const Drive& drive) { return drive.seek_ended; })) {
    set_interrupt(true);
  }
}

// --- heads ---------------------------------------------------------------------------------------

void Fdc82077::recalibrate() {
  start_seek(command_[1] & fdc::kUnitSelect, 0, true);
}
void Fdc82077::seek() {
  start_seek(command_[1] & fdc::kUnitSelect, command_[2], false);
}

void Fdc82077::relative_seek() {
  const unsigned select = command_[1] & fdc::kUnitSelect;
  const bool inwards = (command_[0] & 0x40) != 0;
  const int target = drives_[select].present_cylinder + (inwards ? command_[2] : -command_[2]);
  start_seek(select, static_cast<uint8_t>(std::clamp(target, 0, 255)), false);
}

void Fdc82077::start_seek(unsigned select, uint8_t target, bool recalibrate) {
  Drive& drive = drives_[select];
  const int from = recalibrate ? drive.head_cylinder : drive.present_cylinder;
  drive.seeking = true;
  drive.recalibrating = recalibrate;
  drive.seek_target = target;
  drive.seek_ended = false;
  drive.seek_status =
      static_cast<uint8_t>(fdc::kSeekEnd | select | (recalibrate ? 0 : command_[1] & fdc::kHeadSelect));
  resets_to_tell_ = 0;
  seek_timers_[select].arm_after(kSeekNs + kStepNs * std::abs(target - from));
  enter_command_phase();
}

void Fdc82077::end_seek(unsigned select) {
  Drive& drive = drives_[select];
  if (drive.recalibrating) {
    drive.move_heads(-std::min<int>(drive.head_cylinder, kRecalibrateSteps));
    // Steps until the drive says track 0; without a drive nobody does.
    if (!drive.there() || drive.head_cylinder != 0)
      drive.seek_status |= fdc::kAbnormal | fdc::kEquipmentCheck;
  } else {
    drive.move_heads(drive.seek_target - drive.present_cylinder);
  }
  drive.present_cylinder = drive.seek_target;
  drive.seeking = false;
  drive.seek_ended = true;
  set_interrupt(true);
}

// --- settings ------------------------------------------------------------------------------------

void Fdc82077::configure() {
  configuration_ = command_[2] & 0x7f;
  precompensation_track_ = command_[3];
  enter_command_phase();
}

void Fdc82077::version() {
  enter_result_phase({kVersion}, false);
}

void Fdc82077::dump_registers() {
  enter_result_phase(
      {drives_[0].present_cylinder, drives_[1].present_cylinder, drives_[2].present_cylinder,
       drives_[3].present_cylinder, srt_hut_, hlt_nd_, sc_or_eot_,
       static_cast<uint8_t>((locked_ ? 0x80 : 0) | perpendicular_), configuration_, precompensation_track_},
      false);
}

void Fdc82077::perpendicular_mode() {
  const uint8_t writable = kPerpendicularMode | ((command_[1] & kOverwrite) != 0 ? kPerpendicularDrives : 0);
  perpendicular_ = static_cast<uint8_t>((perpendicular_ & ~writable) | (command_[1] & writable));
  enter_command_phase();
}

void Fdc82077::lock() {
  locked_ = (command_[0] & 0x80) != 0;
  enter_result_phase({static_cast<uint8_t>(locked_ ? 0x10 : 0)}, false);
}

}  // namespace vireo
