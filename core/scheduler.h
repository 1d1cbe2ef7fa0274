// Timed events in guest time. One scheduler per machine; used from the machine's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/state_archive.h"

namespace vireo {

class Timer;

class Scheduler {
 public:
  explicit Scheduler(const Clock& clock) : clock_(clock) {}
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  VirtualNs now() const { return clock_.now(); }
  const Clock& clock() const { return clock_; }

  /// When the earliest armed timer is due; nothing if none is armed.
  std::optional<VirtualNs> next_deadline() const;

  /// Fires every timer that is due, ordered by deadline, then by the order in which the timers were created
  /// (so that runs repeat). A timer re-armed to a time already past fires in the same call.
  void run_due();

  /// Called when a timer is armed earlier than everything armed before: the engine's time limit is then
  /// stale.
  void set_earlier_deadline_hook(std::function<void()> hook) { earlier_deadline_hook_ = std::move(hook); }

 private:
  friend class Timer;
  struct Entry {
    VirtualNs deadline;
    uint64_t id;
    Timer* timer;
    bool operator<(const Entry& other) const {
      return deadline != other.deadline ? deadline < other.deadline : id < other.id;
    }
  };

  const Clock& clock_;
  std::set<Entry> queue_;
  uint64_t next_id_ = 0;
  std::function<void()> earlier_deadline_hook_;
};

/// A one-shot alarm owned by a device. Destruction disarms it.
class Timer {
 public:
  /// `fire` runs in Scheduler::run_due(); the timer is disarmed before, so `fire` may arm it again.
  Timer(Scheduler& scheduler, std::function<void()> fire);
  ~Timer() { disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// Arms (or moves) the timer. A deadline in the past fires at the next run_due().
  void arm_at(VirtualNs deadline);
  void arm_after(VirtualNs delay) { arm_at(scheduler_.now() + delay); }
  void disarm();
  /// Fires if the deadline is not after `now` and run_due() has not been called since, as happens in real
  /// time. For registers whose writes change what the timer is about; they go on with the same `now`.
  void fire_if_due(VirtualNs now);
  bool armed() const { return armed_; }
  /// Valid while armed.
  VirtualNs deadline() const { return deadline_; }

  void state(StateArchive& ar);

 private:
  friend class Scheduler;
  Scheduler& scheduler_;
  std::function<void()> fire_;
  uint64_t id_;
  VirtualNs deadline_ = 0;
  bool armed_ = false;
};

}  // namespace vireo
