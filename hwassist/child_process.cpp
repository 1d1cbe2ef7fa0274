#include "hwassist/child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

namespace vireo::hwassist {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

[[noreturn]] void be_the_child(int out, const std::function<std::string()>& work) noexcept {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string result = work();
  std::string_view left = result;
  while (!left.empty()) {
    const ssize_t done = write(out, left.data(), left.size());
    if (done < 0 && errno != EINTR) _exit(1);
    left.remove_prefix(done < 0 ? 0 : static_cast<size_t>(done));
  }
  _exit(0);
}

/// Until the other end is closed; nothing if that takes too long.
std::optional<std::string> read_until(int in, Clock::time_point deadline) {
  std::string text;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
    pollfd ready{in, POLLIN, 0};
    if (left.count() <= 0) return std::nullopt;
    if (poll(&ready, 1, static_cast<int>(left.count())) <= 0) continue;
    std::array<char, 512> buffer;
    const ssize_t got = read(in, buffer.data(), buffer.size());
    if (got == 0) return text;
    if (got > 0) text.append(buffer.data(), static_cast<size_t>(got));
  }
}

/// Its status. Nothing if the kernel does not let go of it: then it stays behind.
std::optional<int> wait_for(pid_t child) {
  constexpr milliseconds kPatience{500};
  const auto deadline = Clock::now() + kPatience;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) != child) {
    if (Clock::now() >= deadline) return std::nullopt;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return status;
}

Error no_child(std::string_view call) {
  return Error{fmt::format("could not be made: {}: {}", call, std::strerror(errno)), ExitStatus::kHostCannot};
}

}  // namespace

Result<std::string> in_child_process(milliseconds at_most, const std::function<std::string()>& work) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return no_child("pipe");
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    be_the_child(ends[1], work);
  }
  close(ends[1]);
  std::optional<std::string> text;
  if (child > 0) text = read_until(ends[0], Clock::now() + at_most);
  close(ends[0]);
  if (child < 0) return no_child("fork");
  if (!text) kill(child, SIGKILL);
  const std::optional<int> status = wait_for(child);
  if (!text) {
    return Error{fmt::format("did not end within {:g} s", std::chrono::duration<double>(at_most).count()),
                 ExitStatus::kHostCannot};
  }
  if (status && WIFSIGNALED(*status)) {
    return Error{fmt::format("died of signal {}", WTERMSIG(*status)), ExitStatus::kHostCannot};
  }
  return std::move(*text);
}

}  // namespace vireo::hwassist
