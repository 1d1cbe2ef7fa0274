// Ends the process, saying what it was at, when one case takes far too long.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace vireo::testing {

class Watchdog {
 public:
  /// Exit status of a process that was ended.
  static constexpr int kHungStatus = 98;

  explicit Watchdog(unsigned seconds);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// A new case begins. `describe` is called from another thread if the case hangs.
  void begin(std::function<std::string()> describe);
  /// Nothing is running: no limit.
  void idle() { begin(nullptr); }

 private:
  void watch();

  const unsigned seconds_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::function<std::string()> describe_;
  uint64_t serial_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace vireo::testing
