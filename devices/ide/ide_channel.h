// One IDE channel: two drives on a cable behind the command and control block ports.
// Source: ATA/ATAPI-6 clause 7; ATA/ATAPI-6 annex on single-device configurations.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>

#include "core/device.h"
#include "core/irq_line.h"
#include "devices/ide/ata_device.h"

namespace vireo {

class IdeChannel final : public IdeCable {
 public:
  /// `irq` is the ISA line; `dma` outlives the channel. `dma_requested` is told when a drive waits for the
  /// bus master, which then calls dma_start().
  IdeChannel(IrqLine irq, IdeDma& dma, std::function<void()> dma_requested);

  /// Before power-on. `unit` 0 is the master.
  void attach(unsigned unit, std::unique_ptr<AtaDevice> drive);
  bool has_drive(unsigned unit) const { return drives_[unit] != nullptr; }

  /// Eight ports (0x1f0, 0x170).
  IoRegion& command_block() { return command_block_; }
  /// One port (0x3f6, 0x376): alternate status, device control.
  IoRegion& control_block() { return control_block_; }
  /// While disabled, the ports float.
  void set_enabled(bool enabled) { enabled_ = enabled; }

  /// The bus master can move data now, or can no longer.
  void dma_start();
  void dma_stop();
  bool interrupt_level() const { return irq_.level(); }

  void reset();
  void state(StateArchive& ar);

  // IdeCable
  void interrupt_changed() override;
  void dma_requested() override;
  IdeDma& dma() override { return dma_; }

 private:
  uint64_t read_command_block(uint32_t offset, unsigned size);
  void write_command_block(uint32_t offset, unsigned size, uint64_t value);
  uint64_t read_control_block(uint32_t offset, unsigned size);
  void write_control_block(uint32_t offset, unsigned size, uint64_t value);
  uint8_t read_byte(unsigned reg);
  void write_byte(unsigned reg, uint8_t value);
  uint8_t status() const;
  AtaDevice* selected() const { return drives_[selected_].get(); }
  /// The drive that drives the bus: the selected one, or the master for an absent slave.
  AtaDevice* responding() const;

  IrqLine irq_;
  IdeDma& dma_;
  std::function<void()> dma_requested_;
  std::array<std::unique_ptr<AtaDevice>, 2> drives_;
  unsigned selected_ = 0;
  uint8_t control_ = 0;
  bool enabled_ = true;
  MemberRegion<IdeChannel, &IdeChannel::read_command_block, &IdeChannel::write_command_block> command_block_{
      *this};
  MemberRegion<IdeChannel, &IdeChannel::read_control_block, &IdeChannel::write_control_block> control_block_{
      *this};
};

}  // namespace vireo
