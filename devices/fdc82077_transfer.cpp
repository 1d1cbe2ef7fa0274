// The commands that move data: sector after sector under execution_timer_, by DMA or through the FIFO.
#include <algorithm>

#include "core/log.h"
#include "devices/fdc82077.h"
#include "devices/fdc82077_command.h"

namespace vireo {

namespace {

// Much faster than a diskette turns, in the order that guests see on one.
constexpr VirtualNs kHeadLoadNs = 100'000;
constexpr VirtualNs kSectorNs = 200'000;
constexpr VirtualNs kNotFoundNs = 2'000'000;

constexpr uint8_t kMultiTrack = 0x80, kMfm = 0x40, kSkip = 0x20;
constexpr uint8_t kImpliedSeek = 0x40;  // CONFIGURE, EIS
constexpr uint8_t kEnableCount = 0x80;  // VERIFY, EC
constexpr uint8_t kSizeCode512 = 2;
constexpr size_t kFormatIdBytes = 4;
constexpr uint8_t kDorDmaGate = 0x08;

}  // namespace

void Fdc82077::begin_transfer(Transfer transfer) {
  transfer_ = transfer;
  multi_track_ = (command_[0] & kMultiTrack) != 0;
  mfm_ = (command_[0] & kMfm) != 0;
  skip_ = (command_[0] & kSkip) != 0;
  transfer_select_ = command_[1] & fdc::kUnitSelect;
  transfer_head_ = (command_[1] & fdc::kHeadSelect) != 0 ? 1 : 0;
  id_ = {command_[2], command_[3], command_[4], command_[5]};
  end_of_track_ = sc_or_eot_ = command_[6];
  sectors_left_ = transfer == Transfer::kVerify && (command_[1] & kEnableCount) != 0 ? command_[8] : 0;
  if (transfer == Transfer::kReadTrack) id_.sector = 1;
  Drive& drive = transfer_drive();
  if ((configuration_ & kImpliedSeek) != 0) {
    drive.move_heads(id_.cylinder - drive.present_cylinder);
    drive.present_cylinder = id_.cylinder;
  }
  phase_ = Phase::kExecution;
  uint64_t offset;
  const bool found = find_sector(id_, offset) == SectorStatus::kFound;
  execution_timer_.arm_after(kHeadLoadNs + (found ? kSectorNs : kNotFoundNs));
}

void Fdc82077::read_id() {
  transfer_ = Transfer::kReadId;
  mfm_ = (command_[0] & kMfm) != 0;
  transfer_select_ = command_[1] & fdc::kUnitSelect;
  transfer_head_ = (command_[1] & fdc::kHeadSelect) != 0 ? 1 : 0;
  const Drive& drive = transfer_drive();
  id_ = {drive.medium_cylinder(), transfer_head_, 1, kSizeCode512};
  if (drive.format) id_.sector = static_cast<uint8_t>(ids_passed_++ % drive.format->sectors_per_track + 1);
  phase_ = Phase::kExecution;
  execution_timer_.arm_after(kHeadLoadNs + kSectorNs);
}

void Fdc82077::format_track() {
  transfer_ = Transfer::kFormat;
  mfm_ = (command_[0] & kMfm) != 0;
  transfer_select_ = command_[1] & fdc::kUnitSelect;
  transfer_head_ = (command_[1] & fdc::kHeadSelect) != 0 ? 1 : 0;
  id_ = {transfer_drive().medium_cylinder(), transfer_head_, 0, command_[2]};
  sectors_left_ = sc_or_eot_ = command_[3];
  fill_byte_ = command_[5];
  phase_ = Phase::kExecution;
  execution_timer_.arm_after(kHeadLoadNs + kSectorNs);
}

void Fdc82077::transfer_step() {
  switch (transfer_) {
    case Transfer::kReadId: {
      uint64_t offset;
      const SectorStatus status = find_sector(id_, offset);
      return status == SectorStatus::kFound ? end_transfer(0, 0, 0) : fail_transfer(status);
    }
    case Transfer::kFormat: {
      const Drive& drive = transfer_drive();
      if (!drive.medium || transfer_head_ >= drive.format->heads || id_.cylinder >= drive.format->cylinders) {
        return fail_transfer(SectorStatus::kNoAddressMark);
      }
      if (drive.medium->read_only()) return end_transfer(fdc::kAbnormal, fdc::kNotWritable, 0);
      // A raw image is of one format and cannot become another.
      if (!mfm_ || !data_rate_fits(drive) || sc_or_eot_ != drive.format->sectors_per_track ||
          id_.size_code != kSizeCode512) {
        guest_error(LogCategory::kFloppy, "FORMAT TRACK with a format that is not the image's ({})",
                    drive.format->name);
        return end_transfer(fdc::kAbnormal | fdc::kEquipmentCheck, 0, 0);
      }
      return request_bytes(kFormatIdBytes);
    }
    case Transfer::kWrite: {
      uint64_t offset;
      const SectorStatus status = find_sector(id_, offset);
      if (status != SectorStatus::kFound) return fail_transfer(status);
      if (transfer_drive().medium->read_only()) return end_transfer(fdc::kAbnormal, fdc::kNotWritable, 0);
      return request_bytes(kSectorBytes);
    }
    default:
      return read_sector();
  }
}

// --- host and controller -------------------------------------------------------------------------

/// False: the DMA controller did not serve the whole request.
bool Fdc82077::transfer_by_dma(bool to_host, bool& terminal_count) {
  DmaChannel::Moved moved;
  if ((dor_ & kDorDmaGate) != 0) moved = to_host ? dma_.to_memory(bytes_) : dma_.from_memory(bytes_);
  terminal_count = moved.terminal_count;
  if (!to_host) std::fill(bytes_.begin() + static_cast<ptrdiff_t>(moved.bytes), bytes_.end(), uint8_t{0});
  return moved.bytes == bytes_.size() || (terminal_count && moved.bytes > 0);
}

void Fdc82077::read_sector() {
  uint64_t offset;
  const SectorStatus status = find_sector(id_, offset);
  if (status != SectorStatus::kFound) return fail_transfer(status);
  if (transfer_ == Transfer::kReadDeleted && skip_) return sector_done(false);  // no sector is a deleted one
  bytes_.resize(kSectorBytes);
  if (!transfer_drive().medium->read(offset, bytes_)) {
    return end_transfer(fdc::kAbnormal, fdc::kDataError, fdc::kDataErrorInData);
  }
  if (transfer_ == Transfer::kVerify) return sector_done(false);
  byte_position_ = 0;
  if (non_dma()) {
    bytes_ready_ = true;
    return set_interrupt(true);
  }
  bool terminal_count;
  if (!transfer_by_dma(true, terminal_count)) return end_transfer(fdc::kAbnormal, fdc::kOverrun, 0);
  bytes_exchanged(terminal_count);
}

void Fdc82077::request_bytes(size_t count) {
  bytes_.assign(count, 0);
  byte_position_ = 0;
  if (non_dma()) {
    bytes_ready_ = true;
    return set_interrupt(true);
  }
  bool terminal_count;
  if (!transfer_by_dma(false, terminal_count)) return end_transfer(fdc::kAbnormal, fdc::kOverrun, 0);
  bytes_exchanged(terminal_count);
}

void Fdc82077::bytes_exchanged(bool terminal_count) {
  bytes_ready_ = false;
  switch (transfer_) {
    case Transfer::kWrite:
      return store_sector(terminal_count);
    case Transfer::kFormat:
      return format_sector(terminal_count);
    default:
      return sector_done(terminal_count);
  }
}

// --- controller and medium -----------------------------------------------------------------------

bool Fdc82077::data_rate_fits(const Drive& drive) const {
  // 1.2M drives turn at 360 rpm: double density media come at 300 kbit/s there.
  if (drive.type == FloppyDriveType::k1200K && drive.format->rate == FloppyRate::k250)
    return rate_ == FloppyRate::k300;
  return rate_ == drive.format->rate;
}

Fdc82077::SectorStatus Fdc82077::find_sector(const SectorId& id, uint64_t& offset) {
  const Drive& drive = transfer_drive();
  if (!drive.there() || !drive.medium) return SectorStatus::kNoAddressMark;
  const FloppyFormat& format = *drive.format;
  uint8_t cylinder = drive.medium_cylinder();
  // Firmware that does not know of double steps asks for the cylinder that it sought.
  if (drive.double_steps() && id.cylinder == drive.head_cylinder) cylinder = id.cylinder;
  if (!mfm_ || !data_rate_fits(drive) || transfer_head_ >= format.heads || cylinder >= format.cylinders) {
    return SectorStatus::kNoAddressMark;
  }
  const bool any_id = transfer_ == Transfer::kReadTrack;
  if (!any_id && id.cylinder != cylinder) return SectorStatus::kWrongCylinder;
  if ((!any_id && id.head != transfer_head_) || id.size_code != kSizeCode512) return SectorStatus::kNoData;
  if (id.sector == 0 || id.sector > format.sectors_per_track) return SectorStatus::kNoData;
  offset = ((uint64_t{cylinder} * format.heads + transfer_head_) * format.sectors_per_track + id.sector - 1) *
           kSectorBytes;
  return SectorStatus::kFound;
}

void Fdc82077::store_sector(bool terminal_count) {
  uint64_t offset;
  const SectorStatus status = find_sector(id_, offset);  // the diskette may have gone in the meantime
  if (status != SectorStatus::kFound) return fail_transfer(status);
  if (!transfer_drive().medium->write(offset, bytes_)) {
    return end_transfer(fdc::kAbnormal, fdc::kDataError, fdc::kDataErrorInData);
  }
  sector_done(terminal_count);
}

void Fdc82077::format_sector(bool terminal_count) {
  id_ = {bytes_[0], bytes_[1], bytes_[2], bytes_[3]};
  uint64_t offset;
  if (find_sector(id_, offset) != SectorStatus::kFound) {
    guest_error(LogCategory::kFloppy, "FORMAT TRACK with a sector ID that the image cannot hold");
    return end_transfer(fdc::kAbnormal | fdc::kEquipmentCheck, 0, 0);
  }
  const std::vector<uint8_t> blank(kSectorBytes, fill_byte_);
  if (!transfer_drive().medium->write(offset, blank)) {
    return end_transfer(fdc::kAbnormal, fdc::kDataError, fdc::kDataErrorInData);
  }
  if (--sectors_left_ == 0 || terminal_count) return end_transfer(0, 0, 0);
  execution_timer_.arm_after(kSectorNs);
}

// --- sector after sector -------------------------------------------------------------------------

/// Moves id_ on as the result phase tells it (82077AA, table 6-5). True if the command may go on there.
bool Fdc82077::next_sector() {
  if (id_.sector != end_of_track_) {
    ++id_.sector;
    return true;
  }
  id_.sector = 1;
  if (!multi_track_) {
    ++id_.cylinder;
    return false;
  }
  const bool to_second_side = transfer_head_ == 0;
  id_.head ^= 1;
  if (!to_second_side) {
    ++id_.cylinder;
    return false;
  }
  transfer_head_ = 1;
  return true;
}

void Fdc82077::sector_done(bool terminal_count) {
  const bool more = next_sector();
  if (transfer_ == Transfer::kReadDeleted && !skip_) return end_transfer(0, 0, fdc::kControlMark);
  if (terminal_count) return end_transfer(0, 0, 0);
  if (transfer_ == Transfer::kVerify && sectors_left_ > 0 && --sectors_left_ == 0)
    return end_transfer(0, 0, 0);
  if (!more) {
    const bool ends_there = transfer_ == Transfer::kVerify || transfer_ == Transfer::kReadTrack;
    return ends_there ? end_transfer(0, 0, 0) : end_transfer(fdc::kAbnormal, fdc::kEndOfCylinder, 0);
  }
  execution_timer_.arm_after(kSectorNs);
}

void Fdc82077::fail_transfer(SectorStatus status) {
  switch (status) {
    case SectorStatus::kNoAddressMark:
      return end_transfer(fdc::kAbnormal, fdc::kMissingAddressMark, 0);
    case SectorStatus::kWrongCylinder:
      return end_transfer(fdc::kAbnormal, fdc::kNoData, fdc::kWrongCylinder);
    default:
      return end_transfer(fdc::kAbnormal, fdc::kNoData, 0);
  }
}

void Fdc82077::end_transfer(uint8_t st0, uint8_t st1, uint8_t st2) {
  st0 |= static_cast<uint8_t>((transfer_head_ != 0 ? fdc::kHeadSelect : 0) | transfer_select_);
  trace(LogCategory::kFloppy, "result ST0 {:#04x} ST1 {:#04x} ST2 {:#04x} C {} H {} R {}", st0, st1, st2,
        id_.cylinder, id_.head, id_.sector);
  bytes_ready_ = false;
  enter_result_phase({st0, st1, st2, id_.cylinder, id_.head, id_.sector, id_.size_code}, true);
}

}  // namespace vireo
