// An alarm of the host that makes the engine look up.
#pragma once

#include <time.h>

#include <chrono>
#include <memory>

#include "core/attention.h"
#include "core/result.h"

namespace vireo {

/// Of the thread that constructs it; used and destroyed there too. One system call sets or cancels it.
class HostAlarm {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  /// From then on this thread's sleeps end within a microsecond, too (the kernel's default is 50).
  static Result<std::unique_ptr<HostAlarm>> create(Attention& attention);
  ~HostAlarm();
  HostAlarm(const HostAlarm&) = delete;
  HostAlarm& operator=(const HostAlarm&) = delete;

  /// Attention::kExit is requested at `time`, at once if that is past, or before: an alarm that is set for
  /// earlier stays. So set it again whenever the engine comes back.
  void set(TimePoint time, TimePoint now);
  void cancel();

 private:
  explicit HostAlarm(timer_t timer) : timer_(timer) {}
  void program(TimePoint time);

  timer_t timer_;
  TimePoint set_for_{};  ///< past: not set
};

}  // namespace vireo
