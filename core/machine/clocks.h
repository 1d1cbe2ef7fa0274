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
  /// Has the engine come back when now() reaches `time`, or before: by these limits, or by an alarm alone if
  /// it does not count instructions.
  virtual RunLimits limits_until(VirtualNs time, bool counts_instructions) = 0;
  /// The CPU is idle and nothing is due before `time`: jump there if this clock can. False: it cannot, wait
  /// instead.
  virtual bool skip_to(VirtualNs time) = 0;
  /// Saved and loaded with the machine.
  virtual void state(StateArchive& ar) = 0;
};

/// Follows the host's monotonic clock from construction on.
class RealtimeClock final : public MachineClock {
 public:
  RealtimeClock(const CpuState& cpu, std::unique_ptr<HostAlarm> alarm)
      : cpu_(cpu), alarm_(std::move(alarm)) {}

  VirtualNs now() const override { return at(HostClock::now()); }
  /// A number of instructions that should take most of the time, by the speed of late; the rest in further,
  /// ever shorter ones. An alarm at the deadline would cost more: programming the host's timer and its
  /// interrupt take 50 us where the host is itself a virtual machine. So there is one a bit later, for a
  /// guest that has slowed down, and most of the time it is moved on before it goes off.
  RunLimits limits_until(VirtualNs time, bool counts_instructions) override;
  bool skip_to(VirtualNs time) override;
  void state(StateArchive& ar) override;

 private:
  using HostClock = std::chrono::steady_clock;
  struct Slice {
    HostClock::time_point start{};  ///< zero: there was none
    uint64_t retired = 0;           ///< at its start
  };
  /// Beyond the host's next tick, in most cases, where its timer needs no programming.
  static constexpr std::chrono::milliseconds kGrace{2};
  /// Of an alarm at the deadline itself.
  static constexpr std::chrono::microseconds kAlarmSlack{20};
  static constexpr double kPartOfRest = 0.85;
  static constexpr double kLongestSliceNs = 4'000'000;
  static constexpr double kLastSliceNs = 8'000;
  static constexpr double kShortestSliceNs = 1'000;  ///< so that a guest with deadlines all the time gets on

  VirtualNs at(HostClock::time_point time) const {
    return offset_ + std::chrono::duration_cast<std::chrono::nanoseconds>(time - start_).count();
  }
  void learn_speed(HostClock::time_point now);

  const CpuState& cpu_;
  std::unique_ptr<HostAlarm> alarm_;
  HostClock::time_point start_ = HostClock::now();
  VirtualNs offset_ = 0;
  Slice slice_;
  double instructions_per_ns_ = 0.05;
};

/// Time is the count of retired instructions, plus the idle time that was skipped.
class VirtualClock final : public MachineClock {
 public:
  /// `mips` instructions take one microsecond.
  VirtualClock(const CpuState& cpu, unsigned mips) : cpu_(cpu), mips_(mips) {}

  VirtualNs now() const override {
    return skipped_ + static_cast<VirtualNs>(muldiv64(cpu_.retired, 1000, mips_));
  }
  RunLimits limits_until(VirtualNs time, bool) override {
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
