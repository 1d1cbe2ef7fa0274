#include "devices/ide/bus_master.h"

#include <algorithm>
#include <utility>

#include "core/log.h"

namespace vireo {

namespace {

constexpr uint8_t kDriveCapableBits = 0x60;  // read/write bits that software keeps notes in
constexpr uint32_t kEndOfTable = 0x80000000;

}  // namespace

BusMasterIde::BusMasterIde(GuestMemory& memory, std::function<void(bool)> started)
    : memory_(memory), started_(std::move(started)) {}

void BusMasterIde::reset() {
  command_ = status_ = 0;
  table_ = next_ = region_ = region_left_ = 0;
  last_region_ = false;
}

uint8_t BusMasterIde::read(unsigned offset) const {
  switch (offset) {
    case 0:
      return command_;
    case 2:
      return status_;
    case 4:
    case 5:
    case 6:
    case 7:
      return static_cast<uint8_t>(table_ >> (8 * (offset - 4)));
    default:
      return 0;
  }
}

void BusMasterIde::write(unsigned offset, uint8_t value) {
  switch (offset) {
    case 0: {
      const uint8_t old = std::exchange(command_, value & (kStart | kToMemory));
      if ((command_ & kStart) != 0 && (old & kStart) == 0) {
        status_ |= kActive;
        next_ = table_;
        region_left_ = 0;
        last_region_ = false;
        started_(true);
      } else if ((command_ & kStart) == 0 && (old & kStart) != 0) {
        status_ &= static_cast<uint8_t>(~kActive);
        started_(false);
      }
      return;
    }
    case 2:
      status_ &= static_cast<uint8_t>(~(value & (kBusError | kInterrupt)));
      status_ = static_cast<uint8_t>((status_ & ~kDriveCapableBits) | (value & kDriveCapableBits));
      return;
    case 4:
    case 5:
    case 6:
    case 7: {
      const unsigned shift = 8 * (offset - 4);
      table_ = (table_ & ~(uint32_t{0xff} << shift)) | uint32_t{value} << shift;
      table_ &= ~3u;
      return;
    }
    default:
      return;
  }
}

bool BusMasterIde::next_descriptor() {
  std::array<uint8_t, 8> raw;
  if (!memory_.read(Gpa{next_}, raw)) {
    guest_error(LogCategory::kDisk, "physical region descriptor at {:#x} is not in memory", next_);
    status_ |= kBusError;
    return false;
  }
  next_ += sizeof raw;
  const auto le32 = [&](size_t i) {
    return raw[i] | raw[i + 1] << 8 | raw[i + 2] << 16 | static_cast<uint32_t>(raw[i + 3]) << 24;
  };
  region_ = le32(0) & ~1u;
  region_left_ = le32(4) & 0xfffe;
  if (region_left_ == 0) region_left_ = 0x10000;
  last_region_ = (le32(4) & kEndOfTable) != 0;
  return true;
}

template <class Byte, class Move>
size_t BusMasterIde::transfer(std::span<Byte> bytes, bool to_memory, Move move) {
  // Every region has at least two bytes, so that a table without an end stops with the data.
  size_t done = 0;
  while (done < bytes.size() && active()) {
    if (((command_ & kToMemory) != 0) != to_memory) {
      guest_error(LogCategory::kDisk, "bus master set the wrong way for the drive's command");
      return done;
    }
    if (region_left_ == 0 && !next_descriptor()) {
      status_ &= static_cast<uint8_t>(~kActive);
      return done;
    }
    const size_t n = std::min<size_t>(bytes.size() - done, region_left_);
    if (!move(Gpa{region_}, bytes.subspan(done, n))) {
      guest_error(LogCategory::kDisk, "physical region {:#x} is not in memory", region_);
      status_ |= kBusError;
      status_ &= static_cast<uint8_t>(~kActive);
      return done;
    }
    done += n;
    region_ += static_cast<uint32_t>(n);
    region_left_ -= static_cast<uint32_t>(n);
    if (region_left_ == 0 && last_region_) status_ &= static_cast<uint8_t>(~kActive);
  }
  return done;
}

size_t BusMasterIde::to_memory(std::span<const uint8_t> bytes) {
  return transfer(bytes, true,
                  [&](Gpa at, std::span<const uint8_t> part) { return memory_.write(at, part); });
}

size_t BusMasterIde::from_memory(std::span<uint8_t> bytes) {
  return transfer(bytes, false, [&](Gpa at, std::span<uint8_t> part) { return memory_.read(at, part); });
}

void BusMasterIde::state(StateArchive& ar) {
  ar.field("command", command_);
  ar.field("status", status_);
  ar.field("table", table_);
  ar.field("next", next_);
  ar.field("region", region_);
  ar.field("region_left", region_left_);
  ar.field("last_region", last_region_);
}

}  // namespace vireo
