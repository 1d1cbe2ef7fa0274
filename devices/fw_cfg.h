// The firmware configuration device that SeaBIOS and guests read their boot parameters from: numbered items,
// and a directory of named files. Source: the public interface description in QEMU's documentation
// (docs/specs/fw_cfg).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/device.h"
#include "core/guest_memory.h"

namespace vireo {

class FwCfg final : public Device {
 public:
  /// `memory` is what the DMA interface reads and writes.
  explicit FwCfg(GuestMemory& memory);

  // Before the machine runs. A key or name is added once (CHECK).
  void add_item(uint16_t key, std::vector<uint8_t> bytes);
  void add_u16(uint16_t key, uint16_t value);
  void add_u32(uint16_t key, uint32_t value);
  void add_u64(uint16_t key, uint64_t value);
  /// NUL-terminated.
  void add_string(uint16_t key, std::string_view text);
  /// `name` has at most 55 characters. `writable`: the guest may write it by DMA; `written` hears of it.
  void add_file(std::string name, std::vector<uint8_t> bytes);
  void add_writable_file(std::string name, std::vector<uint8_t> bytes,
                         std::function<void(std::span<const uint8_t>)> written);

  IoRegion& ports() {
    return ports_region_;
  }                                        ///< 0x510, 2 ports: selector (16 bits), data (8 bits, at offset 1)
  IoRegion& dma() { return dma_region_; }  ///< 0x514, 8 ports: address of the DMA command, big-endian

  std::string_view name() const override { return "fw_cfg"; }
  void reset() override;
  void state(StateArchive& ar) override;

  // Keys that others than this file use.
  static constexpr uint16_t kRamSize = 0x03;
  static constexpr uint16_t kNoGraphic = 0x04;
  static constexpr uint16_t kCpus = 0x05;
  static constexpr uint16_t kKernelAddress = 0x07;
  static constexpr uint16_t kKernelSize = 0x08;
  static constexpr uint16_t kInitrdAddress = 0x0a;
  static constexpr uint16_t kInitrdSize = 0x0b;
  static constexpr uint16_t kNuma = 0x0d;
  static constexpr uint16_t kBootMenu = 0x0e;
  static constexpr uint16_t kMaxCpus = 0x0f;
  static constexpr uint16_t kKernelEntry = 0x10;
  static constexpr uint16_t kKernelData = 0x11;
  static constexpr uint16_t kInitrdData = 0x12;
  static constexpr uint16_t kCmdlineAddress = 0x13;
  static constexpr uint16_t kCmdlineSize = 0x14;
  static constexpr uint16_t kCmdlineData = 0x15;
  static constexpr uint16_t kSetupAddress = 0x16;
  static constexpr uint16_t kSetupSize = 0x17;
  static constexpr uint16_t kSetupData = 0x18;
  static constexpr uint16_t kIrq0Override = 0x8002;

 private:
  struct Item {
    std::vector<uint8_t> bytes;
    bool writable = false;
    std::function<void(std::span<const uint8_t>)> written;
  };

  uint64_t read_ports(uint32_t offset, unsigned size);
  void write_ports(uint32_t offset, unsigned size, uint64_t value);
  uint64_t read_dma(uint32_t offset, unsigned size);
  void write_dma(uint32_t offset, unsigned size, uint64_t value);

  void select(uint16_t key);
  uint8_t next_byte();
  void run_dma(Gpa command);
  Item& add_file_item(std::string name, std::vector<uint8_t> bytes);

  GuestMemory& memory_;
  std::map<uint16_t, Item> items_;
  std::vector<std::string> file_names_;  ///< in the order of their keys
  uint16_t selected_ = 0;
  uint32_t position_ = 0;
  uint32_t dma_address_high_ = 0;
  MemberRegion<FwCfg, &FwCfg::read_ports, &FwCfg::write_ports> ports_region_{*this};
  MemberRegion<FwCfg, &FwCfg::read_dma, &FwCfg::write_dma> dma_region_{*this};
};

/// What the firmware needs to know of a PC.
struct PcFirmwareConfig {
  uint64_t ram_bytes = 0;
  uint64_t low_ram_bytes = 0;  ///< RAM below 4 GiB, from address 0; the rest starts at 4 GiB
  bool boot_menu = false;
  std::vector<std::string> boot_order;  ///< OpenFirmware-like device paths, first choice first; may be empty
};

/// Adds the items and files that SeaBIOS looks for: RAM and its map, one CPU, IRQ 0 at I/O APIC pin 2, no S3
/// or S4, boot order and menu.
void add_pc_items(FwCfg& fw_cfg, const PcFirmwareConfig& config);

}  // namespace vireo
