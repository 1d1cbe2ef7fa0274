#include "devices/cmos_layout.h"

#include <algorithm>

namespace vireo {

namespace {

constexpr uint64_t kKib = 1024;
constexpr uint64_t kMib = 1024 * kKib;

void set_little_endian(RtcMc146818& rtc, uint8_t index, unsigned bytes, uint64_t value) {
  value = std::min(value, (uint64_t{1} << (8 * bytes)) - 1);
  for (unsigned i = 0; i < bytes; ++i) {
    rtc.set_cmos(static_cast<uint8_t>(index + i), static_cast<uint8_t>(value >> (8 * i)));
  }
}

uint64_t beyond(uint64_t size, uint64_t limit) {
  return size > limit ? size - limit : 0;
}

}  // namespace

void set_cmos_memory(RtcMc146818& rtc, uint64_t below_4gib, uint64_t above_4gib) {
  set_little_endian(rtc, cmos::kBaseMemoryLow, 2, std::min(below_4gib, 640 * kKib) / kKib);
  const uint64_t extended_kib = beyond(below_4gib, kMib) / kKib;
  set_little_endian(rtc, cmos::kExtendedMemoryLow, 2, extended_kib);
  set_little_endian(rtc, cmos::kExtendedMemoryLow2, 2, extended_kib);
  set_little_endian(rtc, cmos::kMemoryAbove16MiBLow, 2, beyond(below_4gib, 16 * kMib) / (64 * kKib));
  set_little_endian(rtc, cmos::kMemoryAbove4GiBLow, 3, above_4gib / (64 * kKib));
}

void set_cmos_floppies(RtcMc146818& rtc, CmosFloppyType a, CmosFloppyType b) {
  rtc.set_cmos(cmos::kFloppyTypes,
               static_cast<uint8_t>(static_cast<unsigned>(a) << 4 | static_cast<unsigned>(b)));
  const unsigned drives = (a != CmosFloppyType::kNone ? 1 : 0) + (b != CmosFloppyType::kNone ? 1 : 0);
  constexpr uint8_t kFpu = 1 << 1;
  constexpr uint8_t kMousePort = 1 << 2;
  constexpr uint8_t kHasFloppies = 1 << 0;
  const unsigned floppies = drives == 0 ? 0 : kHasFloppies | (drives - 1) << 6;
  rtc.set_cmos(cmos::kEquipment, static_cast<uint8_t>(kFpu | kMousePort | floppies));
}

void set_cmos_boot_order(RtcMc146818& rtc, CmosBootDevice first, CmosBootDevice second,
                         CmosBootDevice third) {
  rtc.set_cmos(cmos::kBootOrder,
               static_cast<uint8_t>(static_cast<unsigned>(second) << 4 | static_cast<unsigned>(first)));
  rtc.set_cmos(cmos::kBootOrder2, static_cast<uint8_t>(static_cast<unsigned>(third) << 4 |
                                                       (rtc.cmos(cmos::kBootOrder2) & 0x0f)));
}

}  // namespace vireo
