// Intel 82371AB (PIIX4) power management: PM1 event and control, the PM timer, APM ports, GPE0, SMBus host.
// Bus 0, slot 1, function 3. Sources: 82371AB datasheet, chapter 7; ACPI specification 1.0b, 4.7. System
// management mode is not offered: a write to the APM control port switches between ACPI and legacy mode by
// itself.
#pragma once

#include <cstdint>
#include <functional>

#include "core/device.h"
#include "core/io_bus.h"
#include "core/irq_line.h"
#include "core/scheduler.h"
#include "devices/pci.h"

namespace vireo {

class Piix4Pm final : public Device, public PciFunction {
 public:
  /// Which ISA ports the board has; the firmware's ACPI tables read it here.
  struct IsaPorts {
    bool com1;
    bool com2;
    bool lpt1;
  };
  /// `sci` is the ISA IRQ 9 wire. `power_off` is called from the guest's write to PM1 control that asks for
  /// it.
  Piix4Pm(Scheduler& scheduler, IoBus& ports, IrqLine sci, std::function<void()> power_off,
          IsaPorts isa_ports = {.com1 = true, .com2 = false, .lpt1 = false});

  // Fixed regions for the board to map.
  IoRegion& apm() { return apm_region_; }          ///< 0xb2, 2 ports: APM control and status
  IoRegion& gpe() { return gpe_region_; }          ///< 0xafe0, 4 ports: GPE0 status and enable
  IoRegion& hotplug() { return hotplug_region_; }  ///< 0xae00, 16 ports: PCI hot-plug, nothing ever plugged

  std::string_view name() const override { return "piix4_pm"; }
  void reset() override;
  void state(StateArchive& ar) override;
  void config_write(uint8_t offset, unsigned size, uint32_t value) override;

 private:
  uint64_t read_pm(uint32_t offset, unsigned size);
  void write_pm(uint32_t offset, unsigned size, uint64_t value);
  uint64_t read_apm(uint32_t offset, unsigned size);
  void write_apm(uint32_t offset, unsigned size, uint64_t value);
  uint64_t read_gpe(uint32_t offset, unsigned size);
  void write_gpe(uint32_t offset, unsigned size, uint64_t value);
  uint64_t read_hotplug(uint32_t offset, unsigned size);
  void write_hotplug(uint32_t offset, unsigned size, uint64_t value);
  uint64_t read_smbus(uint32_t offset, unsigned size);
  void write_smbus(uint32_t offset, unsigned size, uint64_t value);

  uint8_t read_pm_byte(uint32_t offset);
  void write_pm_byte(uint32_t offset, uint8_t value);
  void write_pm1_control(uint16_t value);
  /// PM timer ticks since power-on (3.579545 MHz), not truncated.
  uint64_t pm_timer() const;
  void latch_timer_overflow();
  void update_sci();
  void update_io_mappings();

  /// A block of ports whose base and enable bit are in configuration space.
  struct Window {
    uint16_t size;
    bool mapped = false;
    uint16_t mapped_at = 0;
  };
  void place(Window& window, bool enabled, uint16_t base, IoRegion& region, const char* name);

  Scheduler& scheduler_;
  IoBus& ports_;
  IrqLine sci_;
  std::function<void()> power_off_;

  uint16_t pm1_status_ = 0;
  uint16_t pm1_enable_ = 0;
  uint16_t pm1_control_ = 0;
  uint64_t overflow_seen_ = 0;  ///< PM timer's bits 23 and up when TMR_STS was last brought up to date
  uint8_t apm_control_ = 0;
  uint8_t apm_status_ = 0;
  uint16_t gpe_status_ = 0;
  uint16_t gpe_enable_ = 0;
  std::array<uint8_t, 64> pm_scratch_{};  ///< the rest of the PM block, plain storage
  uint8_t smbus_status_ = 0;
  std::array<uint8_t, 16> smbus_{};

  Timer overflow_timer_;
  Window pm_window_{64};
  Window smbus_window_{16};
  MemberRegion<Piix4Pm, &Piix4Pm::read_pm, &Piix4Pm::write_pm> pm_region_{*this};
  MemberRegion<Piix4Pm, &Piix4Pm::read_apm, &Piix4Pm::write_apm> apm_region_{*this};
  MemberRegion<Piix4Pm, &Piix4Pm::read_gpe, &Piix4Pm::write_gpe> gpe_region_{*this};
  MemberRegion<Piix4Pm, &Piix4Pm::read_hotplug, &Piix4Pm::write_hotplug> hotplug_region_{*this};
  MemberRegion<Piix4Pm, &Piix4Pm::read_smbus, &Piix4Pm::write_smbus> smbus_region_{*this};
};

}  // namespace vireo
