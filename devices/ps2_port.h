// What hangs on one PS/2 connector, as the controller sees it: a serial device that takes and gives bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <utility>

namespace vireo {

class Ps2Port {
 public:
  virtual ~Ps2Port() = default;
  /// A byte from the host.
  virtual void receive(uint8_t byte) = 0;

  bool has_output() const { return !output_.empty(); }
  /// The next byte to the host; there is one (has_output).
  uint8_t take_output() {
    const uint8_t byte = output_.front();
    output_.pop_front();
    output_taken();
    return byte;
  }
  /// Called when output appears.
  void set_output_hook(std::function<void()> hook) { output_hook_ = std::move(hook); }

 protected:
  void send(uint8_t byte) {
    output_.push_back(byte);
    if (output_hook_) output_hook_();
  }
  /// A byte went to the host; there may be room for more.
  virtual void output_taken() {}

  std::deque<uint8_t> output_;

 private:
  std::function<void()> output_hook_;
};

}  // namespace vireo
