#include "frontend-headless/input_watch.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace vireo {

Result<std::unique_ptr<InputWatch>> InputWatch::create(std::function<void()> ready) {
  FileDescriptor control(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!control.valid()) {
    return Error{fmt::format("cannot watch for input: {}", std::strerror(errno)), ExitStatus::kHostCannot};
  }
  std::unique_ptr<InputWatch> watch(new InputWatch(std::move(ready), std::move(control)));
  // The process's signals are for the machine's thread.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::error_code error;
  try {
    watch->thread_ = std::thread([w = watch.get()] { w->run(); });
  } catch (const std::system_error& failure) {
    error = failure.code();
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error) {
    return Error{fmt::format("cannot start a thread that watches for input: {}", error.message()),
                 ExitStatus::kHostCannot};
  }
  return watch;
}

InputWatch::~InputWatch() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  tell();
  thread_.join();
}

void InputWatch::wait_for(std::span<const int> descriptors) {
  {
    const std::lock_guard lock(mutex_);
    const bool same =
        std::equal(descriptors.begin(), descriptors.end(), descriptors_.begin(), descriptors_.end());
    if (same && (waiting_ || descriptors.empty())) return;
    descriptors_.assign(descriptors.begin(), descriptors.end());
    waiting_ = true;
  }
  tell();
}

void InputWatch::tell() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(control_.get(), &one, sizeof one);
}

void InputWatch::run() {
  std::vector<pollfd> awaited = {{control_.get(), POLLIN, 0}};
  for (;;) {
    if (::poll(awaited.data(), awaited.size(), -1) < 0 && errno != EINTR) return;
    const bool told = awaited[0].revents != 0;
    if (told) {
      uint64_t count;
      [[maybe_unused]] const ssize_t taken = ::read(control_.get(), &count, sizeof count);
    }
    {
      const std::lock_guard lock(mutex_);
      if (ending_) return;
      awaited.resize(1);
      if (told) {
        for (int descriptor : descriptors_) awaited.push_back({descriptor, POLLIN, 0});
        continue;
      }
      waiting_ = false;
    }
    ready_();
  }
}

}  // namespace vireo
