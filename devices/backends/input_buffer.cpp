#include "devices/backends/input_buffer.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace vireo {

InputBuffer::Fill InputBuffer::fill(int fd) {
  pollfd wait = {fd, POLLIN, 0};
  if (!has_room() || ::poll(&wait, 1, 0) <= 0) return Fill::kNothing;
  std::array<uint8_t, 1024> chunk;
  const ssize_t n = ::read(fd, chunk.data(), chunk.size());
  if (n < 0) return errno == EAGAIN || errno == EINTR ? Fill::kNothing : Fill::kClosed;
  if (n == 0) return Fill::kClosed;
  bytes_.insert(bytes_.end(), chunk.begin(), chunk.begin() + n);
  return Fill::kBytes;
}

bool InputBuffer::take(uint8_t& byte) {
  if (bytes_.empty()) return false;
  byte = bytes_.front();
  bytes_.pop_front();
  return true;
}

}  // namespace vireo
