// Intel 82371SB (PIIX3) PCI-to-ISA bridge: PIRQ routing and the reset control port. Bus 0, slot 1, function
// 0. Source: Intel 82371FB/82371SB datasheet, 2.2 and 2.5. The other functions of the chip (IDE, USB) and the
// ISA devices inside it are devices of their own.
#pragma once

#include <array>
#include <functional>

#include "core/device.h"
#include "core/irq_hub.h"
#include "devices/pci.h"

namespace vireo {

class Piix3 final : public Device, public PciFunction {
 public:
  /// PIRQA to PIRQD drive those of wires 3 to 15 of `irqs` that the guest's routing registers name.
  /// `hard_reset` (of the whole board) and `soft_reset` (INIT#: of the CPU) are asked for by a write to port
  /// 0xcf9; they must not reset anything before the write is over.
  Piix3(IrqHub& irqs, std::function<void()> hard_reset, std::function<void()> soft_reset);

  /// For PciBus's intx callback: slot s, pin p is PIRQ (s + p - 1) mod 4 on this board.
  void set_intx(unsigned slot, unsigned pin, bool level);
  /// For PciBus::pass_narrow_accesses_to: ports 0xcf8 to 0xcfb but for CONFIG_ADDRESS; offset 1 is 0xcf9.
  IoRegion& reset_control() { return reset_control_region_; }

  std::string_view name() const override { return "piix3"; }
  void reset() override;
  void state(StateArchive& ar) override;
  void config_write(uint8_t offset, unsigned size, uint32_t value) override;

 private:
  static constexpr unsigned kPirqs = 4;

  uint64_t read_reset_control(uint32_t offset, unsigned size);
  void write_reset_control(uint32_t offset, unsigned size, uint64_t value);
  void update_irqs();

  std::function<void()> hard_reset_;
  std::function<void()> soft_reset_;
  std::array<IrqLine, 16> irq_;
  std::array<uint32_t, kPirqs> high_slots_{};  ///< by PIRQ: bit s is the level that slot s drives
  uint8_t reset_control_ = 0;
  MemberRegion<Piix3, &Piix3::read_reset_control, &Piix3::write_reset_control> reset_control_region_{*this};
};

}  // namespace vireo
