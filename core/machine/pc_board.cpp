#include "core/machine/pc_board.h"

#include <fmt/format.h>

#include <ctime>
#include <string>

#include "bios/roms.h"
#include "core/machine/direct_boot.h"
#include "devices/cmos_layout.h"
#include "devices/ide/ata_disk.h"
#include "devices/ide/atapi_cdrom.h"

namespace vireo {

namespace {

constexpr uint64_t k4GiB = uint64_t{1} << 32;
constexpr Gpa kLowBios{0xe0000};
constexpr uint64_t kLowBiosBytes = 0x20000;
constexpr Gpa kIoApicBase{0xfec00000};
constexpr Gpa kHpetBase{0xfed00000};
constexpr uint64_t kVgaHole = 0xa0000;
constexpr uint64_t kOneMiB = 0x100000;

/// What a clock that must not depend on the host shows at power-on: 2026-01-01 00:00:00.
constexpr int64_t kFixedRtcStart = 1767225600;

/// Drops what the guest writes; for a line that the user left unconnected.
class NoBackend final : public CharBackend {
 public:
  void write(std::span<const uint8_t>) override {}
  bool read(uint8_t&) override { return false; }
};

std::unique_ptr<CharBackend> or_none(std::unique_ptr<CharBackend> backend) {
  if (backend != nullptr) return backend;
  return std::make_unique<NoBackend>();
}

FloppyDriveType drive_type_for(const BlockBackend* medium) {
  if (medium == nullptr) return FloppyDriveType::kNone;
  const auto format = floppy_format_of_size(medium->size());
  return format ? format->drive : FloppyDriveType::k1440K;
}

CmosBootDevice boot_device(char letter) {
  switch (letter) {
    case 'a':
      return CmosBootDevice::kFloppy;
    case 'c':
      return CmosBootDevice::kHardDisk;
    case 'd':
      return CmosBootDevice::kCdrom;
    case 'n':
      return CmosBootDevice::kNetwork;
    default:
      return CmosBootDevice::kNone;
  }
}

/// Floppy, disk and CD, those that are there; SeaBIOS goes on to the next when one cannot be booted.
std::string default_boot_order(const MachineIo& io) {
  std::string order;
  if (io.floppy[0] != nullptr) order += 'a';
  if (io.hd[0] != nullptr) order += 'c';
  if (io.cdrom != nullptr) order += 'd';
  return order;
}

}  // namespace

PcBoard::PcBoard(const CpuModel& model, Firmware firmware, GuestMemory& memory, IoBus& ports,
                 Scheduler& scheduler, BoardEvents events)
    : model_(model),
      firmware_(std::move(firmware)),
      memory_(memory),
      ports_(ports),
      scheduler_(scheduler),
      events_(std::move(events)),
      irqs_(IoApic::kPins, [this](unsigned wire, bool level) {
        if (wire < 16) pic_->set_irq(wire, level);
        io_apic_->set_pin(wire < 16 ? IoApic::pin_of_isa_irq(wire) : wire, level);
      }) {}

Result<std::unique_ptr<PcBoard>> PcBoard::create(const MachineConfig& config, const CpuModel& model,
                                                 MachineIo& io, Firmware firmware, GuestMemory& memory,
                                                 IoBus& ports, Scheduler& scheduler, BoardEvents events) {
  std::unique_ptr<PcBoard> board(
      new PcBoard(model, std::move(firmware), memory, ports, scheduler, std::move(events)));
  board->wire_apics();
  board->build_chips(config, io);
  if (auto r = board->build_firmware_config(config, io); !r) return r.error();
  board->fill_cmos(config, io);
  board->build_drives(io);
  board->map_memory();
  board->map_ports(config.debug_exit);
  board->reset();
  return board;
}

void PcBoard::wire_apics() {
  pic_intr_ = IrqLine([this](bool level) { local_apic_->set_lint0(level); });
  add(pic_, pic_intr_);
  add(local_apic_, scheduler_,
      LocalApic::Wires{
          .acknowledge_pic = [this] { return pic_->acknowledge(); },
          .interrupt_changed = events_.interrupt_changed,
          .nmi = events_.nmi,
          .init = events_.init,
          .end_of_interrupt = [this](uint8_t vector) { io_apic_->end_of_interrupt(vector); },
      });
  add(io_apic_, [this](const ApicMessage& message) { return local_apic_->receive(message); });
  nmi_ = IrqLine([this](bool level) { local_apic_->set_lint1(level); });
}

void PcBoard::build_chips(const MachineConfig& config, MachineIo& io) {
  add(hpet_, scheduler_, irqs_);
  irq0_ = hpet_->pit_input();
  irq8_ = hpet_->rtc_input();
  irq1_ = irqs_.line(1);
  irq3_ = irqs_.line(3);
  irq4_ = irqs_.line(4);
  irq12_ = irqs_.line(12);
  irq13_ = irqs_.line(13);

  add(pit_, scheduler_, irq0_);
  add(system_port_b_, scheduler_, *pit_, nmi_);
  const int64_t rtc_start = config.rtc_start                      ? *config.rtc_start
                            : config.clock == ClockKind::kVirtual ? kFixedRtcStart
                                                                  : std::time(nullptr);
  add(rtc_, scheduler_, irq8_, rtc_start, [this](bool enabled) { system_port_b_->set_nmi_enabled(enabled); });
  add(keyboard_, scheduler_);
  add(mouse_, scheduler_);
  const auto set_a20 = [this](bool open) { memory_.set_a20(open); };
  const auto reset_cpu = [this] { cpu_reset_asked(); };
  add(i8042_, scheduler_, irq1_, irq12_, *keyboard_, *mouse_, set_a20, reset_cpu);
  add(system_port_a_, set_a20, reset_cpu);
  add(fpu_error_, irq13_);
  add(dma_, memory_);

  IrqLine* const uart_irqs[2] = {&irq4_, &irq3_};
  const char* const uart_names[2] = {"uart16550.com1", "uart16550.com2"};
  for (int i = 0; i < 2; ++i) {
    serial_backends_[i] = or_none(std::move(io.serial[i]));
    add(uart_[i], uart_names[i], scheduler_, *uart_irqs[i], *serial_backends_[i]);
  }
  debug_console_backend_ = or_none(std::move(io.debug_console));
  debug_console_ = std::make_unique<DebugConsole>(*debug_console_backend_);
  debug_exit_ = std::make_unique<DebugExit>(events_.debug_exit);

  add(fdc_, scheduler_, irqs_.line(6), dma_->channel(2));
  add(fw_cfg_, memory_);
  pci_ = std::make_unique<PciBus>(ports_, memory_, [this](unsigned slot, unsigned pin, bool level) {
    isa_bridge_->set_intx(slot, pin, level);
  });
  add(host_bridge_, memory_);
  add(isa_bridge_, irqs_, events_.reset, reset_cpu);
  add(ide_, memory_, irqs_.line(14), irqs_.line(15));
  add(power_management_, scheduler_, ports_, irqs_.line(9), events_.power_off,
      Piix4Pm::IsaPorts{.com1 = true, .com2 = true, .lpt1 = false});
  add(vga_, scheduler_.clock(), std::move(firmware_.vga_bios));
  pci_->attach(0, 0, *host_bridge_);
  pci_->attach(1, 0, *isa_bridge_);
  pci_->attach(1, 1, *ide_);
  pci_->attach(1, 3, *power_management_);
  pci_->attach(2, 0, *vga_);
  pci_->pass_narrow_accesses_to(isa_bridge_->reset_control());
}

void PcBoard::build_drives(MachineIo& io) {
  for (unsigned i = 0; i < 2; ++i) {
    if (io.hd[i] == nullptr) continue;
    media_.push_back(io.hd[i].get());
    AtaDiskOptions options;
    options.serial = fmt::format("VR{:05}", i + 1);
    ide_->attach(0, i, std::make_unique<AtaDisk>(scheduler_, std::move(io.hd[i]), options));
  }
  if (io.cdrom_drive || io.cdrom != nullptr) {
    ide_->attach(1, 0, std::make_unique<AtapiCdrom>(scheduler_, std::move(io.cdrom)));
  }
  for (unsigned i = 0; i < 2; ++i) {
    const FloppyDriveType type = drive_type_for(io.floppy[i].get());
    // A PC has a drive A even when nothing is in it.
    fdc_->connect(i, i == 0 && type == FloppyDriveType::kNone ? FloppyDriveType::k1440K : type);
    if (io.floppy[i] == nullptr) continue;
    media_.push_back(io.floppy[i].get());
    fdc_->insert(i, std::move(io.floppy[i]));
  }
}

Result<void> PcBoard::build_firmware_config(const MachineConfig& config, MachineIo& io) {
  PcFirmwareConfig firmware;
  firmware.ram_bytes = memory_.ram_bytes();
  firmware.low_ram_bytes = memory_.ram_bytes();
  if (io.direct_boot) {
    auto plan = plan_direct_boot(std::move(*io.direct_boot), memory_.ram_bytes());
    if (!plan) return plan.error();
    for (FwCfgItem& item : plan.value().items) fw_cfg_->add_item(item.key, std::move(item.bytes));
    const auto rom = direct_boot_rom();
    fw_cfg_->add_file(std::string(kDirectBootRomFile), {rom.begin(), rom.end()});
    if (config.boot.empty()) firmware.boot_order = {std::string(kDirectBootOrderLine)};
  }
  add_pc_items(*fw_cfg_, firmware);
  return {};
}

void PcBoard::fill_cmos(const MachineConfig& config, const MachineIo& io) {
  set_cmos_memory(*rtc_, memory_.ram_bytes(), 0);
  const auto type_a = drive_type_for(io.floppy[0].get());
  set_cmos_floppies(
      *rtc_, static_cast<CmosFloppyType>(type_a == FloppyDriveType::kNone ? FloppyDriveType::k1440K : type_a),
      static_cast<CmosFloppyType>(drive_type_for(io.floppy[1].get())));
  std::string order = config.boot.empty() ? default_boot_order(io) : config.boot;
  order.resize(3, '-');
  set_cmos_boot_order(*rtc_, boot_device(order[0]), boot_device(order[1]), boot_device(order[2]));
  rtc_->update_checksum();
}

void PcBoard::map_memory() {
  const uint64_t ram = memory_.ram_bytes();
  memory_.map_ram(Gpa{0}, kVgaHole, 0, "low RAM");
  if (ram > kOneMiB) memory_.map_ram(Gpa{kOneMiB}, ram - kOneMiB, kOneMiB, "RAM");
  memory_.map_mmio(Gpa{Vga::kWindowBase}, Vga::kWindowSize, vga_->window(), "VGA");
  std::span<uint8_t> bios(firmware_.bios);
  memory_.map_rom(kLowBios, bios.last(kLowBiosBytes), "BIOS below 1 MiB");
  memory_.map_rom(Gpa{k4GiB - bios.size()}, bios, "BIOS");
  memory_.map_mmio(kIoApicBase, kPageSize, *io_apic_, "I/O APIC");
  memory_.map_mmio(kHpetBase, kPageSize, *hpet_, "HPET");
}

void PcBoard::map_ports(bool debug_exit) {
  struct Row {
    uint16_t base;
    uint32_t count;
    IoRegion& region;
    const char* name;
  };
  const Row rows[] = {
      {0x00, 16, dma_->first_ports(), "DMA 0-3"},
      {0x20, 2, pic_->master_ports(), "PIC master"},
      {0x40, 4, pit_->ports(), "PIT"},
      {0x60, 1, i8042_->data_port(), "8042 data"},
      {0x61, 1, system_port_b_->port(), "system control port B"},
      {0x64, 1, i8042_->command_port(), "8042 command"},
      {0x70, 2, rtc_->ports(), "RTC"},
      {0x80, 16, dma_->page_ports(), "DMA pages"},
      {0x92, 1, system_port_a_->port(), "system control port A"},
      {0xa0, 2, pic_->slave_ports(), "PIC slave"},
      {0xb2, 2, power_management_->apm(), "APM"},
      {0xc0, 32, dma_->second_ports(), "DMA 4-7"},
      {0xf0, 2, fpu_error_->ports(), "FPU error"},
      {0x170, 8, ide_->command_block(1), "IDE secondary"},
      {0x1ce, Vga::kDispiPortCount, vga_->dispi_ports(), "VBE"},
      {0x1f0, 8, ide_->command_block(0), "IDE primary"},
      {0x2f8, 8, uart_[1]->ports(), "COM2"},
      {0x376, 1, ide_->control_block(1), "IDE secondary control"},
      {Vga::kPortBase, Vga::kPortCount, vga_->ports(), "VGA"},
      {0x3f0, 6, fdc_->registers(), "floppy"},
      {0x3f6, 1, ide_->control_block(0), "IDE primary control"},
      {0x3f7, 1, fdc_->digital_input(), "floppy digital input"},
      {0x3f8, 8, uart_[0]->ports(), "COM1"},
      {0x402, 1, *debug_console_, "debug console"},
      {0x4d0, 2, pic_->elcr_ports(), "ELCR"},
      {0x510, 2, fw_cfg_->ports(), "fw_cfg"},
      {0x514, 8, fw_cfg_->dma(), "fw_cfg DMA"},
      {0xae00, 16, power_management_->hotplug(), "PCI hot-plug"},
      {0xafe0, 4, power_management_->gpe(), "GPE0"},
      {0xcf8, 8, *pci_, "PCI configuration"},
  };
  for (const Row& row : rows) ports_.map(row.base, row.count, row.region, row.name);
  if (debug_exit) ports_.map(0xf4, 4, *debug_exit_, "debug exit");
}

void PcBoard::reset() {
  pci_->reset();
  for (Device* device : devices_) device->reset();
  memory_.set_a20(true);
  place_local_apic();
}

void PcBoard::cpu_reset_asked() {
  // Programs for the 286 leave protected mode this way: firmware finds in CMOS where they want to go on. With
  // nothing to go on with it starts from power-on, and initialises every chip; ours expects them reset.
  if (rtc_->cmos(cmos::kResetCode) == 0) {
    events_.reset();
    return;
  }
  memory_.set_a20(true);  // or the CPU would not find its first instruction
  events_.init();
}

void PcBoard::state(StateArchive& ar) {
  ar.section("pci", 1, [this](StateArchive& inner) { pci_->state(inner); });
  ar.section("irqs", 1, [this](StateArchive& inner) { irqs_.state(inner); });
  for (Device* device : devices_) {
    ar.section(device->name(), device->state_version(),
               [device](StateArchive& inner) { device->state(inner); });
  }
  if (ar.loading()) place_local_apic();
}

bool PcBoard::flush_drives() {
  bool ok = true;
  for (BlockBackend* medium : media_) {
    if (!medium->read_only()) ok = medium->flush() && ok;
  }
  return ok;
}

void PcBoard::set_apic_base(uint64_t value) {
  local_apic_->set_base(value);
  place_local_apic();
}

void PcBoard::place_local_apic() {
  const uint64_t wanted = model_.has(isa::Feature::kApic) && local_apic_->enabled() ? local_apic_->base() : 0;
  if (wanted == apic_mapped_at_) return;
  if (apic_mapped_at_ != 0) memory_.unmap(Gpa{apic_mapped_at_});
  apic_mapped_at_ = 0;
  if (wanted != 0 && memory_.is_free(Gpa{wanted}, kPageSize)) {
    memory_.map_mmio(Gpa{wanted}, kPageSize, *local_apic_, "local APIC");
    apic_mapped_at_ = wanted;
  }
}

}  // namespace vireo
