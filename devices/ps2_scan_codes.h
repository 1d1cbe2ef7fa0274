// Scan codes by key, and what the keyboard controller makes of set 2.
// Source: USB HID to PS/2 scan code translation table (Microsoft); IBM PS/2 Hardware Interface Technical
// Reference.
#pragma once

#include <cstdint>

#include "core/host_io.h"

namespace vireo {

struct ScanCodes {
  uint8_t set2 = 0;       ///< 0: no such key
  bool extended = false;  ///< sets 1 and 2: after a prefix byte 0xe0
  uint8_t set3 = 0;       ///< 0: not in that set
};

/// Codes of a key. Print Screen and Pause are sequences of their own in sets 1 and 2; for them only set3
/// counts.
ScanCodes scan_codes(HidKey key);

/// The set 1 make code for a set 2 code; also what the controller does to every other byte from the keyboard.
uint8_t set2_to_set1(uint8_t code);

}  // namespace vireo
