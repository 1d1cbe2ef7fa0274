// The board: an i440FX/PIIX3 PC with every device, where it sits, and what its wires are connected to.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "core/guest_memory.h"
#include "core/io_bus.h"
#include "core/irq_hub.h"
#include "core/isa/cpuid.h"
#include "core/options.h"
#include "core/result.h"
#include "core/scheduler.h"
#include "devices/dma8237.h"
#include "devices/fdc82077.h"
#include "devices/fw_cfg.h"
#include "devices/hpet.h"
#include "devices/i440fx.h"
#include "devices/i8042.h"
#include "devices/ide/piix3_ide.h"
#include "devices/io_apic.h"
#include "devices/local_apic.h"
#include "devices/pci.h"
#include "devices/pic8259.h"
#include "devices/piix3.h"
#include "devices/piix4_pm.h"
#include "devices/pit8254.h"
#include "devices/ps2_keyboard.h"
#include "devices/ps2_mouse.h"
#include "devices/rtc_mc146818.h"
#include "devices/system_control.h"
#include "devices/system_port_b.h"
#include "devices/uart16550.h"
#include "devices/vga/vga.h"

namespace vireo {

/// What the board tells the machine around it. Called from within guest I/O: note the event, act after the
/// engine's run.
struct BoardEvents {
  std::function<void()> interrupt_changed;
  std::function<void()> nmi;
  std::function<void()> init;   ///< of the CPU alone
  std::function<void()> reset;  ///< of the board, the CPU with it
  std::function<void()> power_off;
  std::function<void(uint32_t value)> debug_exit;
};

/// ROM images from the firmware package.
struct Firmware {
  std::vector<uint8_t> bios;  ///< ends at 4 GiB; its last 128 KiB also end at 1 MiB
  std::vector<uint8_t> vga_bios;

  /// Reads them from the host's firmware folder.
  static Result<Firmware> load();
};

class PcBoard {
 public:
  /// Takes the drives and lines out of `io`. Fails when a direct-boot kernel is not one.
  static Result<std::unique_ptr<PcBoard>> create(const MachineConfig& config, const CpuModel& model,
                                                 MachineIo& io, Firmware firmware, GuestMemory& memory,
                                                 IoBus& ports, Scheduler& scheduler, BoardEvents events);

  PcBoard(const PcBoard&) = delete;
  PcBoard& operator=(const PcBoard&) = delete;

  /// The reset pin of every device.
  void reset();
  /// The CPU was initialised: what of the board belongs to it follows.
  void init_cpu() { local_apic_->init(); }
  /// Every device in a section of its own.
  void state(StateArchive& ar);
  /// Flushes every drive that the board was built with; false if one failed.
  bool flush_drives();

  /// IA32_APIC_BASE was written.
  void set_apic_base(uint64_t value);
  /// The CPU's FERR# pin.
  void set_ferr(bool level) { fpu_error_->set_ferr(level); }

  InterruptController& interrupts() { return *local_apic_; }
  VideoSource& video() { return *vga_; }
  KeyboardSink& keyboard() { return *keyboard_; }
  MouseSink& mouse() { return *mouse_; }

 private:
  PcBoard(const CpuModel& model, Firmware firmware, GuestMemory& memory, IoBus& ports, Scheduler& scheduler,
          BoardEvents events);

  void build_chips(const MachineConfig& config, MachineIo& io);
  void build_drives(MachineIo& io);
  void wire_apics();
  Result<void> build_firmware_config(const MachineConfig& config, MachineIo& io);
  void fill_cmos(const MachineConfig& config, const MachineIo& io);
  void map_memory();
  void map_ports(bool debug_exit);
  void place_local_apic();
  /// The guest pulled INIT# through a port.
  void cpu_reset_asked();

  template <class T, class... Args>
  void add(std::unique_ptr<T>& slot, Args&&... args) {
    slot = std::make_unique<T>(std::forward<Args>(args)...);
    devices_.push_back(slot.get());
  }

  const CpuModel& model_;
  Firmware firmware_;
  GuestMemory& memory_;
  IoBus& ports_;
  Scheduler& scheduler_;
  BoardEvents events_;
  // Before the devices that hold references to them.
  std::unique_ptr<CharBackend> serial_backends_[2];
  std::unique_ptr<CharBackend> debug_console_backend_;

  /// Wires 0 to 15: ISA IRQs, to the 8259 pair and the I/O APIC; 16 to 23: the I/O APIC's other pins.
  IrqHub irqs_;
  IrqLine pic_intr_, irq0_, irq8_, irq1_, irq12_, irq13_, irq4_, irq3_, nmi_;

  std::unique_ptr<Pic8259Pair> pic_;
  std::unique_ptr<LocalApic> local_apic_;
  std::unique_ptr<IoApic> io_apic_;
  std::unique_ptr<Hpet> hpet_;
  std::unique_ptr<Pit8254> pit_;
  std::unique_ptr<SystemPortB> system_port_b_;
  std::unique_ptr<RtcMc146818> rtc_;
  std::unique_ptr<Ps2Keyboard> keyboard_;
  std::unique_ptr<Ps2Mouse> mouse_;
  std::unique_ptr<I8042> i8042_;
  std::unique_ptr<SystemPortA> system_port_a_;
  std::unique_ptr<FpuErrorLatch> fpu_error_;
  std::unique_ptr<Dma8237Pair> dma_;
  std::unique_ptr<Uart16550> uart_[2];
  std::unique_ptr<Fdc82077> fdc_;
  std::unique_ptr<FwCfg> fw_cfg_;
  std::unique_ptr<I440fx> host_bridge_;
  std::unique_ptr<Piix3> isa_bridge_;
  std::unique_ptr<Piix3Ide> ide_;
  std::unique_ptr<Piix4Pm> power_management_;
  std::unique_ptr<Vga> vga_;
  std::unique_ptr<PciBus> pci_;
  std::unique_ptr<DebugConsole> debug_console_;
  std::unique_ptr<DebugExit> debug_exit_;

  /// The device table: reset and saved in this order.
  std::vector<Device*> devices_;
  std::vector<BlockBackend*> media_;
  uint64_t apic_mapped_at_ = 0;  ///< 0: not mapped
};

}  // namespace vireo
