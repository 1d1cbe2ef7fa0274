#include "devices/ide/piix3_ide.h"

namespace vireo {

namespace {

constexpr PciIdentity kIdentity = {.vendor = 0x8086,
                                   .device = 0x7010,
                                   .revision = 0,
                                   .class_code = 0x010180};  // IDE, bus master, legacy ports only
constexpr uint8_t kCommandRegister = 0x04;
constexpr uint8_t kPciStatusRegister = 0x06;
constexpr uint8_t kIdeTiming = 0x40;    // IDETIM, a word for each channel
constexpr uint8_t kSlaveTiming = 0x44;  // SIDETIM
constexpr uint16_t kDecodeEnable = 0x8000;
constexpr uint16_t kIoSpace = 1, kBusMaster = 4;
constexpr unsigned kBusMasterBar = 4;
constexpr uint32_t kBusMasterPorts = 16;

}  // namespace

Piix3Ide::Piix3Ide(GuestMemory& memory, IrqLine primary_irq, IrqLine secondary_irq)
    : PciFunction(kIdentity), irqs_{std::move(primary_irq), std::move(secondary_irq)} {
  define_register(kCommandRegister, 2, 0, kIoSpace | kBusMaster);
  define_register(kPciStatusRegister, 2, 0x0280, 0);  // fast back-to-back, medium DEVSEL#
  define_register(kIdeTiming, 4, 0, 0xf3fff3ff);
  define_register(kSlaveTiming, 1, 0, 0xff);
  add_io_bar(kBusMasterBar, kBusMasterPorts, bus_master_region_);

  for (unsigned i = 0; i < channels_.size(); ++i) {
    bus_masters_[i] = std::make_unique<BusMasterIde>(memory, [this, i](bool started) {
      if (!started) return channels_[i]->dma_stop();
      if (bus_master_enabled()) channels_[i]->dma_start();
    });
    IrqLine latched([this, i](bool level) {
      if (level) bus_masters_[i]->interrupt_rose();
      irqs_[i].set(level);
    });
    channels_[i] = std::make_unique<IdeChannel>(std::move(latched), *bus_masters_[i], [this, i] {
      if (bus_masters_[i]->active() && bus_master_enabled()) channels_[i]->dma_start();
    });
  }
  update_decode();
}

void Piix3Ide::attach(unsigned channel, unsigned unit, std::unique_ptr<AtaDevice> drive) {
  channels_[channel]->attach(unit, std::move(drive));
}

void Piix3Ide::enable_legacy_ports() {
  config_write(kCommandRegister, 2, command() | kIoSpace | kBusMaster);
  config_write(kIdeTiming, 4, static_cast<uint32_t>(kDecodeEnable) << 16 | kDecodeEnable);
}

void Piix3Ide::config_write(uint8_t offset, unsigned size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  update_decode();
}

void Piix3Ide::update_decode() {
  for (unsigned i = 0; i < channels_.size(); ++i) {
    const uint8_t timing_high = config()[kIdeTiming + 2 * i + 1];
    channels_[i]->set_enabled((command() & kIoSpace) != 0 && (timing_high & (kDecodeEnable >> 8)) != 0);
  }
}

uint64_t Piix3Ide::read_bus_master(uint32_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    const uint32_t port = offset + i;
    value |= uint64_t{bus_masters_[port / 8]->read(port % 8)} << (8 * i);
  }
  return value;
}

void Piix3Ide::write_bus_master(uint32_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size; ++i) {
    const uint32_t port = offset + i;
    bus_masters_[port / 8]->write(port % 8, static_cast<uint8_t>(value >> (8 * i)));
  }
}

void Piix3Ide::reset() {
  reset_config();
  for (unsigned i = 0; i < channels_.size(); ++i) {
    bus_masters_[i]->reset();
    channels_[i]->reset();
  }
  update_decode();
}

void Piix3Ide::state(StateArchive& ar) {
  config_state(ar);
  ar.fields("irq", irqs_);
  ar.field("bus_master.0", *bus_masters_[0]);
  ar.field("bus_master.1", *bus_masters_[1]);
  ar.field("channel.0", *channels_[0]);
  ar.field("channel.1", *channels_[1]);
  if (ar.loading()) update_decode();
}

}  // namespace vireo
