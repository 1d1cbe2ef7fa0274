#include "tests/engines/watchdog.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace vireo::testing {

Watchdog::Watchdog(unsigned seconds) : seconds_(seconds) {
  // The tests' signal handlers belong to the thread that runs guest code.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { watch(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Watchdog::~Watchdog() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Watchdog::begin(std::function<std::string()> describe) {
  const std::lock_guard lock(mutex_);
  describe_ = std::move(describe);
  serial_++;
}

void Watchdog::watch() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const uint64_t seen = serial_;
    wake_.wait_for(lock, std::chrono::seconds(seconds_), [this] { return stop_; });
    if (stop_ || seen != serial_ || !describe_) continue;
    fmt::print("\nHUNG for {} s: {}\n", seconds_, describe_());
    std::fflush(stdout);
    _exit(kHungStatus);
  }
}

}  // namespace vireo::testing
