// PCI: configuration space of a function, base address registers, the bus with configuration mechanism #1.
// Source: PCI Local Bus Specification 2.1, chapter 6; mechanism #1: 3.7.4.1.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/guest_memory.h"
#include "core/io_bus.h"
#include "core/irq_line.h"

namespace vireo {

class PciBus;

/// Identity of a function, in the order of the header.
struct PciIdentity {
  uint16_t vendor;
  uint16_t device;
  uint8_t revision;
  uint32_t class_code;  ///< 24 bits: class, subclass, programming interface
  uint16_t subsystem_vendor = 0;
  uint16_t subsystem = 0;
  uint8_t header_type = 0;    ///< bit 7: multi-function
  uint8_t interrupt_pin = 0;  ///< 0 none, 1 INTA#...
};

/// One PCI function. Owns the 256 bytes of configuration space, the command register's meaning and the BARs.
class PciFunction {
 public:
  explicit PciFunction(const PciIdentity& identity);
  virtual ~PciFunction() = default;
  PciFunction(const PciFunction&) = delete;
  PciFunction& operator=(const PciFunction&) = delete;

  // For constructors. BAR `index` is 0 to 5, sizes are powers of two, at least 4 (I/O) or 4096 (memory). What
  // is declared is mapped into the port or physical address space whenever the guest has decoding on and has
  // set an address where nothing else is. The regions must live as long as the function.
  void add_io_bar(unsigned index, uint32_t size, IoRegion& region);
  void add_mmio_bar(unsigned index, uint32_t size, IoRegion& region);
  /// The expansion ROM BAR (offset 0x30); the caller pads `rom`.
  void add_rom(std::span<uint8_t> rom);

  /// Configuration cycles: `size` 1, 2 or 4, not crossing a dword. Read-only bits keep their value.
  /// Override to react to device-specific registers; call the base first.
  virtual uint32_t config_read(uint8_t offset, unsigned size);
  virtual void config_write(uint8_t offset, unsigned size, uint32_t value);

  /// INTx: the bus routes it through the PIRQ router.
  IrqLine& interrupt() { return interrupt_; }

  bool bus_master_enabled() const { return (command() & 4) != 0; }
  uint16_t command() const { return static_cast<uint16_t>(config_[4] | config_[5] << 8); }

  /// The two parts of the owner's reset() and state(): configuration space, mappings and the INTx level.
  void reset_config();
  void config_state(StateArchive& ar);

 protected:
  /// Sets a register's reset value and which of its bits the guest can write; for constructors.
  void define_register(uint8_t offset, unsigned size, uint32_t reset_value, uint32_t write_mask);
  std::array<uint8_t, 256>& config() { return config_; }
  const std::array<uint8_t, 256>& config() const { return config_; }

 private:
  friend class PciBus;
  struct Bar {
    enum class Kind : uint8_t { kIo, kMmio, kRom };
    Kind kind = Kind::kIo;
    uint8_t offset = 0;  ///< of the register
    uint32_t size = 0;   ///< 0: not there
    IoRegion* region = nullptr;
    uint8_t* host = nullptr;  ///< ROM
    bool mapped = false;
    uint32_t mapped_at = 0;
  };
  static constexpr unsigned kRomBar = 6;

  void add_bar(unsigned index, const Bar& bar);
  /// The address that the guest gave the BAR; nothing while it is not decoded.
  std::optional<uint32_t> decoded_address(const Bar& bar) const;
  void unmap_moved_bars();
  void map_decoded_bars();

  std::array<uint8_t, 256> config_{};
  std::array<uint8_t, 256> reset_config_{};
  std::array<uint8_t, 256> write_mask_{};
  std::array<Bar, 7> bars_{};
  PciBus* bus_ = nullptr;
  IrqLine interrupt_;
};

/// Bus 0 and the ports 0xcf8 to 0xcff.
class PciBus final : public IoRegion {
 public:
  /// `intx` hears the level of (slot, pin: 0 is INTA#) after each change; functions of one slot are ORed.
  PciBus(IoBus& ports, GuestMemory& memory,
         std::function<void(unsigned slot, unsigned pin, bool level)> intx);

  /// `slot` 0 to 31, `function` 0 to 7; taken once each (CHECK). Functions are never removed.
  void attach(unsigned slot, unsigned function, PciFunction& pci_function);

  /// Byte and word accesses to offsets 0 to 3 are not the bus's: they go to `region` (the south bridge's
  /// 0xcf9).
  void pass_narrow_accesses_to(IoRegion& region) { narrow_ = &region; }

  /// Offset 0: CONFIG_ADDRESS (dword accesses only), offsets 4 to 7: CONFIG_DATA.
  uint64_t read(uint32_t offset, unsigned size) override;
  void write(uint32_t offset, unsigned size, uint64_t value) override;

  void reset();
  void state(StateArchive& ar);

 private:
  friend class PciFunction;
  PciFunction* selected() const;
  /// Maps and unmaps BARs of all functions as their registers say: one function's move may make room for
  /// another's.
  void update_mappings();
  void interrupt_changed(unsigned slot, unsigned pin);

  IoBus& ports_;
  GuestMemory& memory_;
  std::function<void(unsigned, unsigned, bool)> intx_;
  std::array<std::array<PciFunction*, 8>, 32> functions_{};
  IoRegion* narrow_ = nullptr;
  uint32_t address_ = 0;
};

}  // namespace vireo
