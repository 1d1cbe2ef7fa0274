#include "devices/backends/stream_output.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "core/log.h"

namespace vireo {

StreamOutput::StreamOutput(int fd, std::string name) : fd_(fd), name_(std::move(name)) {
  // A reader that has gone is an error of one stream, not the end of the machine.
  struct sigaction old;
  if (::sigaction(SIGPIPE, nullptr, &old) == 0 && old.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
}

void StreamOutput::write(std::span<const uint8_t> bytes) {
  while (!broken_ && !bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      pollfd wait = {fd_, POLLOUT, 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      broken_ = true;
      notice(fmt::format("{}: cannot write: {}; the guest's output there is dropped from now on", name_,
                         std::strerror(errno)));
    }
  }
}

}  // namespace vireo
