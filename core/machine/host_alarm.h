// An alarm of the host that makes the engine look up.
#pragma once

#include <time.h>

#include <chrono>
#include <memory>

#include "core/attention.h"
#include "core/result.h"

namespace vireo {

/// Of the thread that constructs it; used and destroyed there too.
class HostAlarm {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// From then on this thread's sleeps end within a microsecond, too (the kernel's default is 50).
  static Result<std::unique_ptr<HostAlarm>> create(Attention& attention);
  ~HostAlarm();
  HostAlarm(const HostAlarm&) = delete;
  HostAlarm& operator=(const HostAlarm&) = delete;

  /// Attention::kExit is requested in the middle between these times, unless this is called again before. No
  /// system call if the time of the last call will do.
  void set_between(TimePoint earliest, TimePoint latest);

 private:
  explicit HostAlarm(timer_t timer) : timer_(timer) {}

  timer_t timer_;
  TimePoint set_for_{};
};

}  // namespace vireo
