// The local APIC (xAPIC) of the one CPU, and the CPU's view of all interrupts: the 8259 pair reaches the CPU
// through LINT0. Source: Intel SDM 3A chapter 11.
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "core/device.h"
#include "core/engine.h"
#include "core/scheduler.h"
#include "devices/apic_message.h"

namespace vireo {

class LocalApic final : public Device, public IoRegion, public InterruptController {
 public:
  struct Wires {
    /// The 8259 pair's INTA cycle: gives the vector.
    std::function<uint8_t()> acknowledge_pic;
    /// interrupt_pending() may have become true (Attention::kInterrupt).
    std::function<void()> interrupt_changed;
    /// An NMI edge for the CPU (Attention::kNmi).
    std::function<void()> nmi;
    /// An INIT aimed at this CPU.
    std::function<void()> init;
    /// A level-triggered `vector` was ended; the I/O APIC looks at its pins again.
    std::function<void(uint8_t vector)> end_of_interrupt;
  };

  /// The timer counts at this rate before the divider.
  static constexpr int64_t kBusHz = 1'000'000'000;

  LocalApic(Scheduler& scheduler, Wires wires);

  // --- CPU side ----------------------------------------------------------------------------------
  bool interrupt_pending() const override { return pending_; }
  uint8_t acknowledge() override;
  /// IA32_APIC_BASE was written; the board maps the region (4 KiB) at base() while enabled(). `value` is the
  /// MSR.
  void set_base(uint64_t value);
  uint64_t base_msr() const { return base_msr_; }
  bool enabled() const { return (base_msr_ & kGlobalEnable) != 0; }
  uint64_t base() const { return base_msr_ & ~uint64_t{0xfff}; }

  /// INIT# or an INIT message: all registers but the ID, as after reset. IA32_APIC_BASE stays (SDM
  /// 3A, 11.4.7.3).
  void init();

  // --- board side --------------------------------------------------------------------------------
  /// INTR of the 8259 pair.
  void set_lint0(bool level);
  /// The NMI wire (edge).
  void set_lint1(bool level);
  /// From the I/O APIC. Returns false if no CPU accepts it.
  bool receive(const ApicMessage& message);

  // --- registers (offset within the 4 KiB page) --------------------------------------------------
  uint64_t read(uint32_t offset, unsigned size) override;
  void write(uint32_t offset, unsigned size, uint64_t value) override;

  std::string_view name() const override { return "local_apic"; }
  void reset() override;
  void state(StateArchive& ar) override;

  static constexpr uint64_t kGlobalEnable = 1u << 11;
  static constexpr uint64_t kBootstrapProcessor = 1u << 8;
  static constexpr uint64_t kDefaultBase = 0xfee00000;

 private:
  /// ISR, IRR, TMR: one bit per vector.
  using VectorSet = std::array<uint32_t, 8>;
  enum Lvt : unsigned { kTimer, kThermal, kPerformance, kLint0, kLint1, kError, kLvtCount };

  void reset_registers();
  uint32_t read_register(unsigned index);
  void write_register(unsigned index, uint32_t value);
  void write_lvt(Lvt entry, uint32_t value);
  void write_icr(uint32_t low);
  void end_interrupt();
  /// Pin LINT0 or LINT1 went to `level`.
  void lint_changed(Lvt entry, bool level);
  bool addressed_by(const ApicMessage& message) const;
  void accept_fixed(uint8_t vector, bool level_triggered);
  void report_error(uint32_t bit);
  bool software_enabled() const;
  bool extint_pending() const;
  bool fixed_pending() const;
  uint8_t processor_priority() const;
  void update();

  void timer_fired();
  /// After fire_if_due() with the same `now`: were the time taken twice, the count of a one-shot could run
  /// out in between, and its interrupt would be lost.
  void start_timer(VirtualNs now);
  uint32_t timer_current_count(VirtualNs now) const;
  /// Duration of `count` timer ticks.
  VirtualNs timer_duration(uint32_t count) const;
  unsigned timer_divider() const;

  Scheduler& scheduler_;
  Wires wires_;
  Timer timer_;

  uint64_t base_msr_ = 0;
  uint32_t id_ = 0;
  uint8_t tpr_ = 0;
  uint32_t logical_destination_ = 0;
  uint32_t destination_format_ = 0;
  uint32_t spurious_ = 0;
  VectorSet isr_{}, tmr_{}, irr_{};
  uint32_t error_status_ = 0;   ///< as read
  uint32_t error_pending_ = 0;  ///< since the last write of ESR
  uint32_t icr_low_ = 0, icr_high_ = 0;
  std::array<uint32_t, kLvtCount> lvt_{};
  uint32_t timer_initial_ = 0;
  uint32_t timer_divide_ = 0;
  VirtualNs timer_start_ = 0;  ///< when the count was last loaded
  bool lint0_ = false, lint1_ = false;
  bool extint_message_ = false;  ///< an ExtINT came over the APIC bus
  bool pending_ = false;
};

}  // namespace vireo
