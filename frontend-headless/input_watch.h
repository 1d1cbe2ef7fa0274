// Tells a busy machine that input has come.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "core/result.h"
#include "devices/backends/raw_file.h"

namespace vireo {

/// A thread that sleeps until one of the descriptors that it has been given is readable.
class InputWatch {
 public:
  /// `ready` is called in the watch's thread.
  static Result<std::unique_ptr<InputWatch>> create(std::function<void()> ready);
  ~InputWatch();
  InputWatch(const InputWatch&) = delete;
  InputWatch& operator=(const InputWatch&) = delete;

  /// `ready` is called once when one of these is readable or hung up; call this again after that. Costs
  /// nothing while it still waits for the same ones. A descriptor may be closed any time, but with its number
  /// reused at once the new one may go unnoticed.
  void wait_for(std::span<const int> descriptors);

 private:
  InputWatch(std::function<void()> ready, FileDescriptor control)
      : ready_(std::move(ready)), control_(std::move(control)) {}
  void run();
  void tell();

  const std::function<void()> ready_;
  const FileDescriptor control_;  ///< an eventfd: there is a new list, or it is time to end
  std::mutex mutex_;
  std::vector<int> descriptors_;
  bool waiting_ = false;  ///< for descriptors_; ready_ has not been called since
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace vireo
