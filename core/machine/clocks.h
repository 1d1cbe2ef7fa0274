// The two clocks of a machine (architecture.md, "Machine").
#pragma once

#include <chrono>
#include <optional>

#include "core/clock.h"
#include "core/cpu_state.h"
#include "core/state_archive.h"

namespace vireo {

/// A clock that the machine's run loop can also steer.
class MachineClock : public Clock {
 public:
  /// cpu.retired at which now() reaches `time`, or nothing if that cannot be said (real time).
  virtual std::optional<uint64_t> retired_at(VirtualNs time) const = 0;
  /// The CPU is idle and nothing is due before `time`: jump there if this clock can. False: it cannot, wait
  /// instead.
  virtual bool skip_to(VirtualNs time) = 0;
  /// Saved and loaded with the machine.
  virtual void state(StateArchive& ar) = 0;
};

/// Follows the host's monotonic clock from construction on.
class RealtimeClock final : public MachineClock {
 public:
  VirtualNs now() const override {
    return offset_ +
           std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start_)
               .count();
  }
  std::optional<uint64_t> retired_at(VirtualNs) const override { return std::nullopt; }
  bool skip_to(VirtualNs) override { return false; }
  void state(StateArchive& ar) override {
    VirtualNs saved = now();
    ar.field("now", saved);
    if (ar.loading()) {
      start_ = std::chrono::steady_clock::now();
      offset_ = saved;
    }
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
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
  std::optional<uint64_t> retired_at(VirtualNs time) const override {
    if (time <= skipped_) return 0;
    const uint64_t span = static_cast<uint64_t>(time - skipped_);
    return (span * mips_ + 999) / 1000;  // rounded up: now() has then reached `time`
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
