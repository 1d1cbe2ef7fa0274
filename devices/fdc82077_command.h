// The 82077AA's command table row and status bits; for the files that make up Fdc82077.
#pragma once

#include <cstddef>
#include <cstdint>

#include "devices/fdc82077.h"

namespace vireo {

struct Fdc82077::Command {
  uint8_t mask, opcode;  ///< the command byte without its flags
  size_t length;         ///< bytes of the command phase
  void (Fdc82077::*run)();
};

namespace fdc {

// Status register 0. Interrupt code in bits 7 and 6.
inline constexpr uint8_t kAbnormal = 0x40, kInvalid = 0x80, kReadyChanged = 0xc0;
inline constexpr uint8_t kSeekEnd = 0x20, kEquipmentCheck = 0x10, kHeadSelect = 0x04, kUnitSelect = 0x03;
// Status register 1.
inline constexpr uint8_t kEndOfCylinder = 0x80, kDataError = 0x20, kOverrun = 0x10, kNoData = 0x04,
                         kNotWritable = 0x02, kMissingAddressMark = 0x01;
// Status register 2.
inline constexpr uint8_t kControlMark = 0x40, kDataErrorInData = 0x20, kWrongCylinder = 0x10;
// Status register 3.
inline constexpr uint8_t kWriteProtected = 0x40, kReady = 0x20, kTrack0 = 0x10, kTwoSide = 0x08;

}  // namespace fdc

}  // namespace vireo
