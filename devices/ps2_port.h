// What hangs on one PS/2 connector, as the controller sees it: a serial device that takes and gives bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include "core/state_archive.h"

namespace vireo {

class Ps2Port {
 public:
  virtual ~Ps2Port() = default;
  /// A byte from the host.
  virtual void receive(uint8_t byte) = 0;

  bool has_output() const { return !answers_.empty() || !events_.empty(); }
  /// The next byte to the host; there is one (has_output). Answers to commands overtake events.
  uint8_t take_output() {
    std::deque<uint8_t>& queue = answers_.empty() ? events_ : answers_;
    last_output_ = queue.front();
    queue.pop_front();
    output_taken();
    return last_output_;
  }
  /// Called when output appears.
  void set_output_hook(std::function<void()> hook) { output_hook_ = std::move(hook); }

 protected:
  static constexpr size_t kBufferSize = 16;

  /// Lost if kBufferSize answers wait already.
  void answer(uint8_t byte) {
    if (answers_.size() > kBufferSize) return;
    if (answers_.size() == kBufferSize) {
      const std::optional<uint8_t> overrun = overrun_code();
      if (!overrun) return;
      byte = *overrun;
    }
    answers_.push_back(byte);
    if (output_hook_) output_hook_();
  }
  /// What follows a full buffer to say that bytes were lost.
  virtual std::optional<uint8_t> overrun_code() const { return std::nullopt; }
  void send_event(uint8_t byte) {
    events_.push_back(byte);
    if (output_hook_) output_hook_();
  }
  size_t waiting_events() const { return events_.size(); }
  uint8_t last_event() const { return events_.back(); }
  void drop_events() { events_.clear(); }
  void drop_output() {
    answers_.clear();
    events_.clear();
  }
  /// The byte that the host got last.
  uint8_t last_output() const { return last_output_; }
  /// A byte went to the host; there may be room for more.
  virtual void output_taken() {}

  void port_state(StateArchive& ar) {
    ar.field("answers", answers_);
    ar.field("events", events_);
    ar.field("last_output", last_output_);
    if (ar.loading() && std::max(answers_.size(), events_.size()) > kBufferSize + 1)
      throw StateError("ps2: more bytes wait than a device can hold");
  }

 private:
  std::deque<uint8_t> answers_;
  std::deque<uint8_t> events_;
  uint8_t last_output_ = 0;
  std::function<void()> output_hook_;
};

}  // namespace vireo
