// Interval timer: three counters, computed from virtual time on demand.
// Source: Intel 82C54 data sheet (231244).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

#include "core/device.h"
#include "core/irq_line.h"
#include "core/scheduler.h"

namespace vireo {

/// One counter. Time is in ticks of the 1193182 Hz input clock; a count written during tick t is loaded at t
/// + 1. All functions bring the counter forward to `tick` first, which must not go backwards.
class Pit8254Counter {
 public:
  /// Control word with its counter-select bits ignored; access mode not 0.
  void write_control(uint8_t control, uint64_t tick);
  void write_count(uint8_t value, uint64_t tick);
  uint8_t read_count(uint64_t tick);
  void latch_count(uint64_t tick);
  void latch_status(uint64_t tick);
  void set_gate(bool gate, uint64_t tick);

  bool gate() const { return gate_; }
  bool output(uint64_t tick);
  unsigned mode() const { return mode_; }
  /// Clocks per count, 1 to 65536, as last written.
  uint32_t initial_count() const { return initial_count_; }

  /// True if the output rose since the last call.
  bool take_rising_edge(uint64_t tick);
  /// The first tick after `tick` at which the output rises or something else must be done; kNever if none.
  uint64_t next_event(uint64_t tick);
  static constexpr uint64_t kNever = ~uint64_t{0};

  void reset(bool gate, uint64_t tick);
  void state(StateArchive& ar);

 private:
  enum class Access : uint8_t { kLow = 1, kHigh = 2, kBoth = 3 };

  bool periodic() const { return mode_ == 2 || mode_ == 3; }
  bool started_by_gate() const { return mode_ == 1 || mode_ == 5; }
  uint64_t elapsed(uint64_t tick) const;
  uint64_t high_clocks() const { return (loaded_count_ + 1) / 2; }
  bool output_after(uint64_t elapsed) const;
  bool rose_between(uint64_t after, uint64_t until) const;
  void advance(uint64_t tick);
  void schedule_load(uint64_t tick);
  void load_at(uint64_t tick);
  void stop(uint64_t tick);
  uint16_t current_value(uint64_t tick) const;
  uint32_t modulus() const { return bcd_ ? 10000 : 65536; }

  uint8_t mode_ = 0;
  Access access_ = Access::kBoth;
  bool bcd_ = false;
  bool gate_ = true;

  uint32_t initial_count_ = 65536;  ///< count register
  bool count_written_ = false;      ///< since the last control word
  bool null_count_ = true;          ///< written, but not yet loaded
  uint32_t loaded_count_ = 65536;   ///< what the counting element started from
  bool loaded_ = false;             ///< since the last control word
  bool running_ = false;
  bool stopped_output_ = false;   ///< mode 0: the count is being rewritten, output low
  uint64_t origin_ = 0;           ///< while running: the tick at which the count was loaded
  uint64_t stopped_elapsed_ = 0;  ///< while not running
  uint64_t load_tick_ = kNever;   ///< when the count register goes to the counting element
  uint64_t advanced_to_ = 0;
  bool rose_ = false;

  bool write_high_next_ = false;
  uint8_t write_low_ = 0;
  bool read_high_next_ = false;
  bool count_latched_ = false;
  uint16_t count_latch_ = 0;
  bool status_latched_ = false;
  uint8_t status_latch_ = 0;
};

class Pit8254 final : public Device {
 public:
  static constexpr uint64_t kFrequencyHz = 1193182;

  /// `irq0`: output of counter 0. The one-clock low pulses of mode 2 appear as low-high at their end.
  Pit8254(Scheduler& scheduler, IrqLine& irq0);

  IoRegion& ports() { return ports_; }  ///< 4 ports at 0x40

  void set_gate2(bool gate);
  bool gate2() const { return counters_[2].gate(); }
  bool output2() { return counters_[2].output(now_ticks()); }
  const Pit8254Counter& counter(unsigned n) const { return counters_[n]; }
  /// Told after the guest has changed counter 2 or its gate (the speaker listens).
  void set_counter2_hook(std::function<void()> hook) { counter2_hook_ = std::move(hook); }

  std::string_view name() const override { return "pit8254"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  uint64_t now_ticks() const;
  uint8_t read_port(uint32_t offset);
  void write_port(uint32_t offset, uint8_t value);
  void counter_changed(unsigned n);
  void update_irq0();

  Scheduler& scheduler_;
  IrqLine& irq0_;
  std::array<Pit8254Counter, 3> counters_;
  Timer timer_;
  std::function<void()> counter2_hook_;
  ByteRegion<Pit8254, &Pit8254::read_port, &Pit8254::write_port> ports_{*this};
};

}  // namespace vireo
