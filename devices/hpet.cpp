#include "devices/hpet.h"

#include <algorithm>

#include "core/clock.h"
#include "core/log.h"

namespace vireo {

namespace {

constexpr uint32_t kCapabilities = 0x000;
constexpr uint32_t kConfiguration = 0x010;
constexpr uint32_t kInterruptStatus = 0x020;
constexpr uint32_t kMainCounter = 0x0f0;
constexpr uint32_t kFirstTimer = 0x100;
constexpr uint32_t kTimerStride = 0x20;
constexpr uint32_t kTimerConfig = 0x00;
constexpr uint32_t kTimerComparator = 0x08;

// General configuration.
constexpr uint64_t kEnable = 1;
constexpr uint64_t kLegacy = 2;

// Timer configuration.
constexpr uint64_t kLevel = 1u << 1;
constexpr uint64_t kInterruptEnable = 1u << 2;
constexpr uint64_t kPeriodic = 1u << 3;
constexpr uint64_t kPeriodicCapable = 1u << 4;
constexpr uint64_t k64BitCapable = 1u << 5;
constexpr uint64_t kSetValue = 1u << 6;
constexpr uint64_t k32BitMode = 1u << 8;
constexpr unsigned kRouteShift = 9;
constexpr uint64_t kWritableConfig =
    kLevel | kInterruptEnable | kPeriodic | kSetValue | k32BitMode | uint64_t{31} << kRouteShift;
/// I/O APIC inputs 2, 8 and 16 to 23.
constexpr uint64_t kRoutes = 0x00ff'0104;

constexpr uint64_t kFemtosecondsPerNs = 1'000'000;
constexpr uint64_t kVendor = 0x8086;
constexpr uint64_t kRevision = 1;

/// Shorter periods would only keep the emulator busy; no guest can serve interrupts that fast.
constexpr uint64_t kShortestPeriodTicks = 100;

}  // namespace

Hpet::Hpet(Scheduler& scheduler, IrqHub& irqs)
    : scheduler_(scheduler), irq0_(irqs.line(0)), irq8_(irqs.line(8)) {
  for (unsigned i = 0; i < kTimers; ++i) {
    timers_[i].alarm = std::make_unique<Timer>(scheduler, [this, i] { fired(i); });
    for (unsigned wire = 0; wire < kWires; ++wire) timers_[i].irq[wire] = irqs.line(wire);
  }
  reset();
}

IrqLine Hpet::pit_input() {
  return IrqLine([this](bool level) {
    pit_level_ = level;
    update_outputs();
  });
}

IrqLine Hpet::rtc_input() {
  return IrqLine([this](bool level) {
    rtc_level_ = level;
    update_outputs();
  });
}

void Hpet::reset() {
  config_ = 0;
  status_ = 0;
  counter_base_ = 0;
  for (TimerBlock& timer : timers_) {
    timer.config = kPeriodicCapable | k64BitCapable | kRoutes << 32;
    timer.comparator = ~uint64_t{0};
    timer.period = 0;
    timer.high_sets_match = false;
    timer.edge_high = false;
    timer.alarm->disarm();
  }
  update_outputs();
}

void Hpet::TimerBlock::state(StateArchive& ar) {
  ar.field("config", config);
  ar.field("comparator", comparator);
  ar.field("period", period);
  ar.field("high_sets_match", high_sets_match);
  ar.field("edge_high", edge_high);
  ar.field("alarm", *alarm);
  ar.fields("irq", irq);
}

void Hpet::state(StateArchive& ar) {
  ar.field("config", config_);
  ar.field("status", status_);
  ar.field("counter_base", counter_base_);
  ar.fields("timer", timers_);
  ar.field("irq0", irq0_);
  ar.field("irq8", irq8_);
  ar.field("pit_level", pit_level_);
  ar.field("rtc_level", rtc_level_);
}

// --- counter and alarms --------------------------------------------------------------------------

uint64_t Hpet::counter() const {
  return enabled() ? counter_base_ + static_cast<uint64_t>(scheduler_.now() / kNsPerTick) : counter_base_;
}

uint64_t Hpet::width_mask(const TimerBlock& timer) {
  return (timer.config & k32BitMode) != 0 ? 0xffff'ffff : ~uint64_t{0};
}

void Hpet::arm(TimerBlock& timer) {
  timer.alarm->disarm();
  if (!enabled()) return;
  // A comparator equal to the counter matches only after the counter has gone all the way round.
  const uint64_t distance = ((timer.comparator - counter() - 1) & width_mask(timer)) + 1;
  constexpr uint64_t kFarAway = uint64_t{1} << 56;  // more than 20 years: a 64-bit comparator already passed
  if (distance == 0 || distance > kFarAway) return;
  const VirtualNs tick_start = scheduler_.now() / kNsPerTick * kNsPerTick;
  timer.alarm->arm_at(tick_start + static_cast<VirtualNs>(distance) * kNsPerTick);
}

void Hpet::fired(unsigned index) {
  TimerBlock& timer = timers_[index];
  if ((timer.config & kPeriodic) != 0 && timer.period != 0) {
    // Periods that went by unserved count as one.
    const uint64_t mask = width_mask(timer);
    const uint64_t period = std::max(timer.period, kShortestPeriodTicks);
    const uint64_t late = (counter() - timer.comparator) & mask;
    timer.comparator = (timer.comparator + (late / period + 1) * period) & mask;
    arm(timer);
  } else if ((timer.config & k32BitMode) != 0) {
    arm(timer);  // the next wrap-around
  }
  interrupt(index);
}

void Hpet::interrupt(unsigned index) {
  TimerBlock& timer = timers_[index];
  if ((timer.config & kLevel) != 0) {
    status_ |= uint64_t{1} << index;
  } else if ((timer.config & kInterruptEnable) != 0) {
    timer.edge_high = false;
    update_outputs();
    timer.edge_high = true;
  }
  update_outputs();
}

unsigned Hpet::wire_of(unsigned index) const {
  if (legacy() && index < 2) return index == 0 ? 0 : 8;
  const unsigned route = timers_[index].config >> kRouteShift & 31;
  return route == 2 ? 0 : route;  // I/O APIC input 2 is IRQ 0's wire
}

void Hpet::update_outputs() {
  irq0_.set(pit_level_ && !legacy());
  irq8_.set(rtc_level_ && !legacy());
  for (unsigned i = 0; i < kTimers; ++i) {
    TimerBlock& timer = timers_[i];
    const bool level_mode = (timer.config & kLevel) != 0;
    const bool high = level_mode
                          ? (timer.config & kInterruptEnable) != 0 && (status_ >> i & 1) != 0 && enabled()
                          : timer.edge_high;
    const unsigned driven = wire_of(i);
    for (unsigned wire = 0; wire < kWires; ++wire) timer.irq[wire].set(high && wire == driven);
  }
}

// --- registers -----------------------------------------------------------------------------------

uint64_t Hpet::read_quad(uint32_t offset) const {
  if (offset >= kFirstTimer) {
    const unsigned index = (offset - kFirstTimer) / kTimerStride;
    if (index >= kTimers) return 0;
    switch (offset % kTimerStride) {
      case kTimerConfig:
        return timers_[index].config;
      case kTimerComparator:
        return timers_[index].comparator;
      default:
        return 0;
    }
  }
  switch (offset) {
    case kCapabilities:
      // Period in femtoseconds, vendor, legacy replacement capable, 64-bit counter, number of the last timer.
      return (kNsPerTick * kFemtosecondsPerNs) << 32 | kVendor << 16 | 1u << 15 | 1u << 13 |
             (kTimers - 1) << 8 | kRevision;
    case kConfiguration:
      return config_;
    case kInterruptStatus:
      return status_;
    case kMainCounter:
      return counter();
    default:
      return 0;
  }
}

uint64_t Hpet::read(uint32_t offset, unsigned) {
  return read_quad(offset & ~7u) >> (8 * (offset & 7));
}

void Hpet::write(uint32_t offset, unsigned size, uint64_t value) {
  const unsigned shift = 8 * (offset & 7);
  const uint64_t bits = size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
  write_quad(offset & ~7u, value << shift, bits << shift);
}

void Hpet::write_quad(uint32_t offset, uint64_t value, uint64_t written_bits) {
  for (TimerBlock& timer : timers_) timer.alarm->fire_if_due(scheduler_.now());
  if (offset >= kFirstTimer) {
    const unsigned index = (offset - kFirstTimer) / kTimerStride;
    if (index >= kTimers) return;
    if (offset % kTimerStride == kTimerConfig) write_timer_config(timers_[index], value, written_bits);
    if (offset % kTimerStride == kTimerComparator) write_comparator(timers_[index], value, written_bits);
    return;
  }
  switch (offset) {
    case kConfiguration: {
      const uint64_t now = counter();
      const bool was_enabled = enabled();
      const uint64_t writable = written_bits & (kEnable | kLegacy);
      config_ = (config_ & ~writable) | (value & writable);
      if (enabled() != was_enabled) set_counter(now);
      for (TimerBlock& timer : timers_) timer.edge_high = false;
      update_outputs();
      break;
    }
    case kInterruptStatus:
      status_ &= ~(value & written_bits);
      update_outputs();
      break;
    case kMainCounter:
      if (enabled()) guest_error(LogCategory::kTimer, "HPET: main counter written while it runs");
      set_counter((counter() & ~written_bits) | (value & written_bits));
      break;
    default:
      break;
  }
}

void Hpet::set_counter(uint64_t value) {
  counter_base_ = enabled() ? value - static_cast<uint64_t>(scheduler_.now() / kNsPerTick) : value;
  for (TimerBlock& timer : timers_) arm(timer);
}

void Hpet::write_timer_config(TimerBlock& timer, uint64_t value, uint64_t written_bits) {
  const uint64_t writable = written_bits & kWritableConfig;
  timer.config = (timer.config & ~writable) | (value & writable);
  timer.comparator &= width_mask(timer);
  timer.period &= width_mask(timer);
  timer.edge_high = false;
  arm(timer);
  update_outputs();
}

void Hpet::write_comparator(TimerBlock& timer, uint64_t value, uint64_t written_bits) {
  const auto merge = [&](uint64_t& field) {
    field = ((field & ~written_bits) | (value & written_bits)) & width_mask(timer);
  };
  // In periodic mode a write sets the period; only with "set value" on does it set the next match as well.
  // That bit lasts for one write, which guests may make as two dwords.
  const bool periodic = (timer.config & kPeriodic) != 0;
  const bool low = (written_bits & 0xffff'ffff) != 0;
  const bool sets_match = low ? (timer.config & kSetValue) != 0 : timer.high_sets_match;
  if (!periodic || sets_match) merge(timer.comparator);
  if (periodic) merge(timer.period);
  timer.config &= ~kSetValue;
  timer.high_sets_match = low && sets_match;
  arm(timer);
}

}  // namespace vireo
