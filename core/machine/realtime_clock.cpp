#include <algorithm>

#include "core/machine/clocks.h"

namespace vireo {

RunLimits RealtimeClock::limits_until(VirtualNs time, bool counts_instructions) {
  using std::chrono::nanoseconds;
  const HostClock::time_point now = HostClock::now();
  const HostClock::time_point due = std::max(now, start_ + nanoseconds(time - offset_));
  if (!counts_instructions) {
    slice_ = {};
    alarm_->set_between(due, due + kAlarmSlack);
    return {};
  }
  learn_speed(now);
  alarm_->set_between(due + kGrace, due + 3 * kGrace);
  slice_ = {now, cpu_.retired};
  double ns = static_cast<double>(nanoseconds(due - now).count());
  if (ns > kLastSliceNs) ns = std::min(ns * kPartOfRest, kLongestSliceNs);
  return {cpu_.retired + 1 + static_cast<uint64_t>(std::max(ns, kShortestSliceNs) * instructions_per_ns_)};
}

bool RealtimeClock::skip_to(VirtualNs) {
  learn_speed(HostClock::now());
  return false;
}

void RealtimeClock::learn_speed(HostClock::time_point now) {
  const Slice slice = std::exchange(slice_, {});
  const double ns = static_cast<double>(std::chrono::nanoseconds(now - slice.start).count());
  if (slice.start == HostClock::time_point{} || ns < kShortestSliceNs) return;
  const double speed = static_cast<double>(cpu_.retired - slice.retired) / ns;
  const double weight = ns > kLastSliceNs ? 0.5 : 0.125;
  instructions_per_ns_ += weight * (std::clamp(speed, 0.0001, 10.0) - instructions_per_ns_);
}

void RealtimeClock::state(StateArchive& ar) {
  VirtualNs saved = now();
  ar.field("now", saved);
  if (ar.loading()) {
    start_ = HostClock::now();
    offset_ = saved;
  }
}

}  // namespace vireo
