#include "devices/i440fx.h"

namespace vireo {

namespace {

constexpr uint8_t kPam0 = 0x59;
constexpr uint8_t kPam6 = 0x5f;
constexpr uint8_t kSmram = 0x72;

constexpr uint64_t kKiB = 1024;

/// Firmware takes this subsystem for "a virtual machine with fw_cfg", which is what we are.
constexpr PciIdentity kIdentity = {.vendor = 0x8086,
                                   .device = 0x1237,
                                   .revision = 2,
                                   .class_code = 0x060000,
                                   .subsystem_vendor = 0x1af4,
                                   .subsystem = 0x1100};

GuestMemory::Shadow shadow_of(unsigned attribute) {
  switch (attribute & 3) {
    case 1:
      return GuestMemory::Shadow::kReadRam;
    case 2:
      return GuestMemory::Shadow::kWriteRam;
    case 3:
      return GuestMemory::Shadow::kReadWriteRam;
    default:
      return GuestMemory::Shadow::kNone;
  }
}

}  // namespace

I440fx::I440fx(GuestMemory& memory) : PciFunction(kIdentity), memory_(memory) {
  define_register(0x04, 2, 0x0006, 0x0102);  // memory and bus mastering are always on
  define_register(0x06, 2, 0x0280, 0);
  define_register(0x50, 2, 0, 0xffff);  // PMC configuration
  define_register(0x52, 2, 0, 0xffff);  // deturbo, DRAM mode
  define_register(0x57, 2, 0x0001, 0xffff);
  for (unsigned pam = kPam0; pam <= kPam6; ++pam) define_register(static_cast<uint8_t>(pam), 1, 0, 0x33);
  for (unsigned drb = 0x60; drb < 0x68; ++drb) define_register(static_cast<uint8_t>(drb), 1, 0x01, 0xff);
  define_register(0x68, 1, 0, 0xff);  // fixed DRAM hole
  define_register(kSmram, 1, 0x02, 0x78);
  define_register(0x90, 2, 0, 0xffff);  // error command
}

void I440fx::reset() {
  reset_config();
  apply_pam();
}

void I440fx::state(StateArchive& ar) {
  config_state(ar);
  if (ar.loading()) apply_pam();
}

void I440fx::config_write(uint8_t offset, unsigned size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  if (offset <= kPam6 && offset + size > kPam0) apply_pam();
}

void I440fx::apply_pam() {
  // PAM0's high nibble is the BIOS area; PAM1 to PAM6 hold two 16 KiB areas each, from 0xc0000 up.
  memory_.set_shadow({0xf0000}, 64 * kKiB, shadow_of(config()[kPam0] >> 4));
  uint64_t start = 0xc0000;
  for (unsigned pam = kPam0 + 1; pam <= kPam6; ++pam) {
    memory_.set_shadow({start}, 16 * kKiB, shadow_of(config()[pam]));
    memory_.set_shadow({start + 16 * kKiB}, 16 * kKiB, shadow_of(config()[pam] >> 4));
    start += 32 * kKiB;
  }
}

}  // namespace vireo
