// Intel 82093AA I/O APIC: 24 inputs. Source: 82093AA datasheet. Input levels mean "asserted": the polarity
// bits are stored, but a device here does not know whether its wire is active high or low.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "core/device.h"
#include "devices/apic_message.h"

namespace vireo {

class IoApic final : public Device, public IoRegion {
 public:
  static constexpr unsigned kPins = 24;

  /// `send` puts a message on the APIC bus; false: nobody accepted it.
  explicit IoApic(std::function<bool(const ApicMessage&)> send);

  /// Wiring of a PC, as the firmware's tables say: ISA IRQ 0 at pin 2, the others at the pin of the same
  /// number.
  static constexpr unsigned pin_of_isa_irq(unsigned irq) { return irq == 0 ? 2 : irq; }

  void set_pin(unsigned pin, bool level);
  /// EOI message of the CPU for a level-triggered vector.
  void end_of_interrupt(uint8_t vector);

  // 0xfec00000: index register at 0, data window at 0x10.
  uint64_t read(uint32_t offset, unsigned size) override;
  void write(uint32_t offset, unsigned size, uint64_t value) override;

  std::string_view name() const override { return "io_apic"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  uint32_t read_register() const;
  void write_register(uint32_t value);
  void deliver(unsigned pin);
  /// Sends a level-triggered pin's message if it is asserted, not masked and not being served.
  void deliver_level(unsigned pin);

  std::function<bool(const ApicMessage&)> send_;
  uint8_t index_ = 0;
  uint32_t id_ = 0;
  uint32_t pin_levels_ = 0;
  std::array<uint64_t, kPins> redirection_{};
};

}  // namespace vireo
