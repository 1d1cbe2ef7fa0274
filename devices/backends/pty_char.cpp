// A pseudo-terminal as a serial line, for terminal programs.
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/log.h"
#include "devices/backends/char_openers.h"
#include "devices/backends/input_buffer.h"
#include "devices/backends/raw_file.h"

namespace vireo {

namespace {

class PtyChar final : public HostCharBackend {
 public:
  /// `slave` stays open so that the master does not report a hang-up whenever no terminal program is
  /// attached.
  PtyChar(FileDescriptor master, FileDescriptor slave)
      : master_(std::move(master)), slave_(std::move(slave)) {}

  void write(std::span<const uint8_t> bytes) override {
    // What does not fit the kernel's buffer is dropped: nobody may be reading.
    [[maybe_unused]] const ssize_t n = ::write(master_.get(), bytes.data(), bytes.size());
  }
  bool read(uint8_t& byte) override { return input_.take(byte); }
  int poll_fd() const override { return input_.has_room() ? master_.get() : -1; }
  void service() override {
    if (input_.fill(master_.get()) == InputBuffer::Fill::kBytes) input_arrived();
  }

 private:
  FileDescriptor master_, slave_;
  InputBuffer input_;
};

}  // namespace

Result<std::unique_ptr<HostCharBackend>> open_pty() {
  const auto failed = [] { return Error{fmt::format("pty: cannot make one: {}", std::strerror(errno))}; };
  FileDescriptor master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
  std::array<char, 128> path;
  if (!master.valid() || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0 ||
      ::ptsname_r(master.get(), path.data(), path.size()) != 0) {
    return failed();
  }
  FileDescriptor slave(::open(path.data(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  termios line;
  if (!slave.valid() || ::tcgetattr(slave.get(), &line) != 0) return failed();
  ::cfmakeraw(&line);
  if (::tcsetattr(slave.get(), TCSANOW, &line) != 0) return failed();
  notice(fmt::format("pty: the serial line is {}", path.data()));
  return std::unique_ptr<HostCharBackend>(std::make_unique<PtyChar>(std::move(master), std::move(slave)));
}

}  // namespace vireo
