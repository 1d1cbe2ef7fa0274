#include "core/machine/host_alarm.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/check.h"

namespace vireo {

Result<std::unique_ptr<HostAlarm>> HostAlarm::create(Attention& attention) {
  struct sigevent event {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = Attention::signal_number();
  event.sigev_value.sival_ptr = &attention;
  event._sigev_un._tid =
      static_cast<pid_t>(syscall(SYS_gettid));  // glibc names it sigev_notify_thread_id late
  timer_t timer;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
    return Error{
        fmt::format("--clock realtime: cannot make a timer: {}; see ulimit -i, or use --clock virtual",
                    std::strerror(errno)),
        ExitStatus::kHostCannot};
  }
  prctl(PR_SET_TIMERSLACK, 1000);
  return std::unique_ptr<HostAlarm>(new HostAlarm(timer));
}

// What is pending of a deleted timer reaches this thread before the call returns.
HostAlarm::~HostAlarm() {
  timer_delete(timer_);
}

void HostAlarm::set_between(TimePoint earliest, TimePoint latest) {
  if (set_for_ >= earliest && set_for_ <= latest) return;
  set_for_ = earliest + (latest - earliest) / 2;
  const auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(set_for_.time_since_epoch()).count();
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  const itimerspec setting{{}, {ns / kNsPerSecond, ns % kNsPerSecond}};
  CHECK(timer_settime(timer_, TIMER_ABSTIME, &setting, nullptr) == 0);
}

}  // namespace vireo
