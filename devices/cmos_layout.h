// What PC firmware (SeaBIOS, and DOS-era BIOS conventions) expects in CMOS RAM.
// Source: Ralf Brown's CMOS memory map; SeaBIOS src/hw/rtc.h for the meaning of 0x34 to 0x38 and 0x5b to
// 0x5f.
#pragma once

#include <cstdint>

#include "devices/rtc_mc146818.h"

namespace vireo {

namespace cmos {
inline constexpr uint8_t kResetCode = 0x0f;
inline constexpr uint8_t kFloppyTypes = 0x10;  ///< high nibble drive A, low nibble drive B
inline constexpr uint8_t kHardDiskTypes =
    0x12;  ///< high nibble disk 0, low nibble disk 1; 0xf: see 0x19, 0x1a
inline constexpr uint8_t kEquipment = 0x14;
inline constexpr uint8_t kBaseMemoryLow = 0x15;      ///< KiB below 640 KiB
inline constexpr uint8_t kExtendedMemoryLow = 0x17;  ///< KiB above 1 MiB
inline constexpr uint8_t kHardDisk0Type = 0x19;
inline constexpr uint8_t kHardDisk1Type = 0x1a;
inline constexpr uint8_t kExtendedMemoryLow2 = 0x30;
inline constexpr uint8_t kCentury = 0x32;
inline constexpr uint8_t kMemoryAbove16MiBLow = 0x34;  ///< units of 64 KiB
inline constexpr uint8_t kBootOrder2 = 0x38;  ///< high nibble third device; bit 0: no floppy signature check
inline constexpr uint8_t kBootOrder = 0x3d;   ///< low nibble first device, high nibble second
inline constexpr uint8_t kMemoryAbove4GiBLow = 0x5b;  ///< 3 bytes, units of 64 KiB
}  // namespace cmos

/// Values of cmos::kFloppyTypes nibbles.
enum class CmosFloppyType : uint8_t { kNone = 0, k360K = 1, k1200K = 2, k720K = 3, k1440K = 4, k2880K = 5 };
/// Values of the boot order's nibbles.
enum class CmosBootDevice : uint8_t { kNone = 0, kFloppy = 1, kHardDisk = 2, kCdrom = 3, kNetwork = 4 };

/// Writes all memory size fields. Bytes of RAM below and above 4 GiB.
void set_cmos_memory(RtcMc146818& rtc, uint64_t below_4gib, uint64_t above_4gib);
/// Floppy types and the equipment byte (FPU, mouse port, number of floppies).
void set_cmos_floppies(RtcMc146818& rtc, CmosFloppyType a, CmosFloppyType b);
void set_cmos_boot_order(RtcMc146818& rtc, CmosBootDevice first, CmosBootDevice second, CmosBootDevice third);

}  // namespace vireo
