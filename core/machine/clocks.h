// The two clocks of a machine (architecture.md, "Machine").
#pragma once

#include <chrono>
#include <memory>
#include <utility>

#include "core/clock.h"
#include "core/cpu_state.h"
#include "core/engine.h"
#include "core/machine/host_alarm.h"
#include "core/state_archive.h"

namespace vireo {

/// A clock that the machine's run loop can also steer.
class MachineClock : public Clock {
 public:
  /// Has the engine come back when now() reaches `time`: by these limits, or by an alarm, maybe too early.
  virtual RunLimits limits_until(VirtualNs time) = 0;
  /// The CPU is idle and nothing is due before `time`: jump there if this clock can. False: it cannot, wait
  /// instead; no alarm goes off meanwhile.
  virtual bool skip_to(VirtualNs time) = 0;
  /// Saved and loaded with the machine.
  virtual void state(StateArchive& ar) = 0;
};

/// Follows the host's monotonic clock from construction on.
class RealtimeClock final : public MachineClock {
 public:
  explicit RealtimeClock(std::unique_ptr<HostAlarm> alarm) : alarm_(std::move(alarm)) {}

  VirtualNs now() const override { return at(HostClock::now()); }
  RunLimits limits_until(VirtualNs time) override {
    alarm_->set(start_ + std::chrono::nanoseconds(time - offset_), HostClock::now());
    return {};
  }
  bool skip_to(VirtualNs) override {
    alarm_->cancel();
    return false;
  }
  void state(StateArchive& ar) override {
    VirtualNs saved = now();
    ar.field("now", saved);
    if (ar.loading()) {
      start_ = HostClock::now();
      offset_ = saved;
    }
  }

 private:
  using HostClock = std::chrono::steady_clock;
  VirtualNs at(HostClock::time_point time) const {
    return offset_ + std::chrono::duration_cast<std::chrono::nanoseconds>(time - start_).count();
  }

  std::unique_ptr<HostAlarm> alarm_;
  HostClock::time_point start_ = HostClock::now();
  VirtualNs offset_ = 0;
};

/// Time is the count of retired instructions, plus the idle time that was skipped.
class VirtualClock final : public MachineClock {
 public:
  /// `mips` instructions take one microsecond.
  VirtualClock(const CpuState& cpu, unsigned mips) : cpu_(cpu), mips_(mips) {}

  VirtualNs now() const override {
    return skipped_ + static_cast<VirtualNs>(muldiv64(cpu_.retired, 1000, mips_));
  }
  RunLimits limits_until(VirtualNs time) override {
    if (time <= skipped_) return {0};
    const uint64_t span = static_cast<uint64_t>(time - skipped_);
    return {(span * mips_ + 999) / 1000};  // rounded up: now() has then reached `time`
  }
  bool skip_to(VirtualNs time) override {
    if (time > now()) skipped_ += time - now();
    return true;
  }
  void state(StateArchive& ar) override { ar.field("skipped", skipped_); }

 private:
  const CpuState& cpu_;
  const uint64_t mips_;
  VirtualNs skipped_ = 0;
};

}  // namespace vireo
