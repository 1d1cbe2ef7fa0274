// This process's standard input and output as a serial line.
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

#include "devices/backends/char_openers.h"
#include "devices/backends/input_buffer.h"
#include "devices/backends/stream_output.h"

namespace vireo {

namespace {

termios original_terminal;
std::atomic<bool> terminal_is_raw{false};
bool stdio_in_use = false;

/// True if standard input is a terminal that now sends single keys. Not if Vireo is in the background: the
/// terminal is then another job's, and touching it would stop this process.
bool make_terminal_raw() {
  if (::isatty(STDIN_FILENO) == 0 || ::tcgetpgrp(STDIN_FILENO) != ::getpgrp()) return false;
  if (::tcgetattr(STDIN_FILENO, &original_terminal) != 0) return false;
  termios raw = original_terminal;
  ::cfmakeraw(&raw);
  raw.c_oflag |= OPOST;  // our own messages still want their line ends
  static const bool registered = std::atexit(restore_terminal) == 0;
  if (!registered || ::tcsetattr(STDIN_FILENO, TCSANOW, &raw) != 0) return false;
  terminal_is_raw = true;
  return true;
}

class StdioChar final : public HostCharBackend {
 public:
  StdioChar() : terminal_(make_terminal_raw()), output_(STDOUT_FILENO, "standard output") {
    input_open_ = terminal_ || ::isatty(STDIN_FILENO) == 0;
    stdio_in_use = true;
  }
  ~StdioChar() override {
    restore_terminal();
    stdio_in_use = false;
  }

  void write(std::span<const uint8_t> bytes) override { output_.write(bytes); }
  bool read(uint8_t& byte) override { return input_.take(byte); }
  int poll_fd() const override { return input_open_ && input_.has_room() ? STDIN_FILENO : -1; }
  bool quit_requested() const override { return quit_; }

  void service() override {
    if (!input_open_) return;
    InputBuffer keys;
    InputBuffer& from_host = terminal_ ? keys : input_;
    if (!input_.has_room()) return;
    const InputBuffer::Fill fill = from_host.fill(STDIN_FILENO);
    if (fill == InputBuffer::Fill::kClosed) input_open_ = false;
    uint8_t key;
    while (keys.take(key)) interpret(key);
    if (fill == InputBuffer::Fill::kBytes) input_arrived();
  }

 private:
  static constexpr uint8_t kCtrlA = 1;

  void interpret(uint8_t key) {
    if (!escape_) {
      if (key == kCtrlA) {
        escape_ = true;
      } else {
        input_.push(key);
      }
      return;
    }
    escape_ = false;
    if (key == 'x' || key == 'X') quit_ = true;
    if (key == kCtrlA) input_.push(key);
  }

  bool terminal_;
  bool input_open_ = false;
  bool escape_ = false, quit_ = false;
  InputBuffer input_;
  StreamOutput output_;
};

}  // namespace

void restore_terminal() {
  if (terminal_is_raw.exchange(false)) ::tcsetattr(STDIN_FILENO, TCSANOW, &original_terminal);
}

Result<std::unique_ptr<HostCharBackend>> open_stdio() {
  if (stdio_in_use)
    return Error{"stdio: standard input and output already serve another line; give that to one only"};
  return std::unique_ptr<HostCharBackend>(std::make_unique<StdioChar>());
}

}  // namespace vireo
