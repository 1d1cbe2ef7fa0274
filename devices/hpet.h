// High precision event timers: one 64-bit counter at 100 MHz, three timers. Source: IA-PC HPET
// specification 1.0a.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "core/device.h"
#include "core/irq_hub.h"
#include "core/scheduler.h"

namespace vireo {

class Hpet final : public Device, public IoRegion {
 public:
  static constexpr unsigned kTimers = 3;
  static constexpr int64_t kNsPerTick = 10;

  /// `irqs` are the 24 interrupt wires of the board: 0 to 15 the ISA IRQs (wire 0 is IRQ 0, also I/O APIC pin
  /// 2), 16 to 23 the I/O APIC's own pins.
  Hpet(Scheduler& scheduler, IrqHub& irqs);

  /// In legacy replacement mode, timers 0 and 1 take IRQ 0 and IRQ 8 away from the PIT and the RTC. So these
  /// two are wired through here.
  IrqLine pit_input();
  IrqLine rtc_input();

  // 1 KiB of registers at 0xfed00000.
  uint64_t read(uint32_t offset, unsigned size) override;
  void write(uint32_t offset, unsigned size, uint64_t value) override;

  std::string_view name() const override { return "hpet"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  static constexpr unsigned kWires = 24;
  struct TimerBlock {
    uint64_t config = 0;
    uint64_t comparator = 0;
    uint64_t period = 0;           ///< last value written, for periodic mode
    bool high_sets_match = false;  ///< the low dword was written with "set value" on: so counts the high one
    bool edge_high = false;  ///< edge mode: stays high, as the 8259 needs it, until just before the next edge
    std::unique_ptr<Timer> alarm;
    std::array<IrqLine, kWires> irq;
    void state(StateArchive& ar);
  };

  uint64_t read_quad(uint32_t offset) const;
  /// `written_bits` are those of the quadword that the access covers.
  void write_quad(uint32_t offset, uint64_t value, uint64_t written_bits);
  void write_timer_config(TimerBlock& timer, uint64_t value, uint64_t written_bits);
  void write_comparator(TimerBlock& timer, uint64_t value, uint64_t written_bits);

  bool enabled() const { return (config_ & 1) != 0; }
  bool legacy() const { return (config_ & 2) != 0; }
  uint64_t counter() const;
  void set_counter(uint64_t value);
  static uint64_t width_mask(const TimerBlock& timer);
  void arm(TimerBlock& timer);
  void fired(unsigned index);
  void interrupt(unsigned index);
  /// The wire that timer `index` drives; 24 or more: none.
  unsigned wire_of(unsigned index) const;
  void update_outputs();

  Scheduler& scheduler_;
  uint64_t config_ = 0;
  uint64_t status_ = 0;
  uint64_t counter_base_ = 0;  ///< the counter while stopped; else what it was at time 0
  std::array<TimerBlock, kTimers> timers_;
  IrqLine irq0_, irq8_;
  bool pit_level_ = false, rtc_level_ = false;
};

}  // namespace vireo
