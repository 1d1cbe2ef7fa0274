#include "core/scheduler.h"

namespace vireo {

std::optional<VirtualNs> Scheduler::next_deadline() const {
  if (queue_.empty()) return std::nullopt;
  return queue_.begin()->deadline;
}

void Scheduler::run_due() {
  // One look at the clock: a timer that re-arms itself faster than the host runs must not keep this loop for
  // ever.
  const VirtualNs now = clock_.now();
  while (!queue_.empty() && queue_.begin()->deadline <= now) {
    Timer* timer = queue_.begin()->timer;
    timer->disarm();
    timer->fire_();
  }
}

Timer::Timer(Scheduler& scheduler, std::function<void()> fire)
    : scheduler_(scheduler), fire_(std::move(fire)), id_(scheduler.next_id_++) {}

void Timer::arm_at(VirtualNs deadline) {
  disarm();
  const bool earliest = scheduler_.queue_.empty() || deadline < scheduler_.queue_.begin()->deadline;
  deadline_ = deadline;
  armed_ = true;
  scheduler_.queue_.insert({deadline, id_, this});
  if (earliest && scheduler_.earlier_deadline_hook_) scheduler_.earlier_deadline_hook_();
}

void Timer::disarm() {
  if (!armed_) return;
  scheduler_.queue_.erase({deadline_, id_, this});
  armed_ = false;
}

void Timer::fire_if_due(VirtualNs now) {
  if (!armed_ || deadline_ > now) return;
  disarm();
  fire_();
}

void Timer::state(StateArchive& ar) {
  bool armed = armed_;
  VirtualNs deadline = armed_ ? deadline_ : 0;
  ar.field("armed", armed);
  ar.field("deadline", deadline);
  if (ar.loading()) {
    disarm();
    if (armed) arm_at(deadline);
  }
}

}  // namespace vireo
