// The IDE function of the 82371SB (PIIX3), PCI 8086:7010: two channels at the legacy ports, bus-master DMA in
// BAR 4. Source: Intel 82371SB datasheet (290550), 2.4 (configuration), 2.7 (bus master).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "core/device.h"
#include "core/guest_memory.h"
#include "core/irq_line.h"
#include "devices/ide/ata_device.h"
#include "devices/ide/bus_master.h"
#include "devices/ide/ide_channel.h"
#include "devices/pci.h"

namespace vireo {

class Piix3Ide final : public Device, public PciFunction {
 public:
  /// `primary_irq` is wired to IRQ14, `secondary_irq` to IRQ15.
  Piix3Ide(GuestMemory& memory, IrqLine primary_irq, IrqLine secondary_irq);

  /// Puts a drive on a cable, before power-on. `channel` and `unit` are 0 or 1.
  void attach(unsigned channel, unsigned unit, std::unique_ptr<AtaDevice> drive);

  /// Ports 0x1f0 to 0x1f7 (channel 0), 0x170 to 0x177 (channel 1).
  IoRegion& command_block(unsigned channel) { return channels_[channel]->command_block(); }
  /// Port 0x3f6 (channel 0), 0x376 (channel 1).
  IoRegion& control_block(unsigned channel) { return channels_[channel]->control_block(); }

  /// What firmware does to the configuration space so that the legacy ports decode (they don't after reset);
  /// for boards that start a kernel without firmware.
  void enable_legacy_ports();

  std::string_view name() const override { return "piix3_ide"; }
  void reset() override;
  void state(StateArchive& ar) override;

  void config_write(uint8_t offset, unsigned size, uint32_t value) override;

 private:
  uint64_t read_bus_master(uint32_t offset, unsigned size);
  void write_bus_master(uint32_t offset, unsigned size, uint64_t value);
  void update_decode();

  std::array<IrqLine, 2> irqs_;
  std::array<std::unique_ptr<BusMasterIde>, 2> bus_masters_;
  std::array<std::unique_ptr<IdeChannel>, 2> channels_;
  MemberRegion<Piix3Ide, &Piix3Ide::read_bus_master, &Piix3Ide::write_bus_master> bus_master_region_{*this};
};

}  // namespace vireo
