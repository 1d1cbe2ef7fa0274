// Types text on a keyboard as a person with a US layout would.
#pragma once

#include <deque>
#include <string_view>

#include "core/host_io.h"
#include "core/types.h"

namespace vireo {

class Typist {
 public:
  explicit Typist(KeyboardSink& keyboard) : keyboard_(keyboard) {}

  /// Queues the keys for `text`: printable ASCII, \n (Enter), \t, \b (Backspace), \x1b (Esc). Others are left
  /// out.
  void type(std::string_view text);
  /// Presses or releases at most one key, no more often than every kKeyInterval of guest time.
  void poll(VirtualNs now);
  bool idle() const { return events_.empty(); }

  /// Slow enough for BIOS keyboard buffers of 15 keys.
  static constexpr VirtualNs kKeyInterval = 20'000'000;

 private:
  struct KeyEvent {
    HidKey key;
    bool down;
  };

  KeyboardSink& keyboard_;
  std::deque<KeyEvent> events_;
  VirtualNs next_at_ = 0;
};

}  // namespace vireo
