// Intel 82441FX (440FX) host bridge: identity, RAM shadowing (PAM) and the SMRAM register. Bus 0, slot 0.
// Source: Intel 440FX PCIset 82441FX (PMC) datasheet, 3.2. System management mode is not offered: SMRAM can
// be written and read, but opens nothing.
#pragma once

#include "core/device.h"
#include "core/guest_memory.h"
#include "devices/pci.h"

namespace vireo {

class I440fx final : public Device, public PciFunction {
 public:
  /// Drives memory's shadowing of 0xc0000 to 0xfffff; guest RAM must be at least 1 MiB.
  explicit I440fx(GuestMemory& memory);

  std::string_view name() const override { return "i440fx"; }
  void reset() override;
  void state(StateArchive& ar) override;
  void config_write(uint8_t offset, unsigned size, uint32_t value) override;

 private:
  void apply_pam();

  GuestMemory& memory_;
};

}  // namespace vireo
