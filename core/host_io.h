// Sinks and backends: what the core asks of the outside world. Front ends and devices/backends implement
// these; the core never includes SDL, sockets or files.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace vireo {

/// Storage behind a disk, floppy or CD drive. Synchronous; used from the machine's thread.
class BlockBackend {
 public:
  virtual ~BlockBackend() = default;
  virtual uint64_t size() const = 0;  ///< bytes
  virtual bool read_only() const = 0;
  /// Whole ranges inside size(). False: the host failed (logged once); the device reports a medium error.
  virtual bool read(uint64_t offset, std::span<uint8_t> out) = 0;
  virtual bool write(uint64_t offset, std::span<const uint8_t> bytes) = 0;
  /// Returns when earlier writes are on stable storage (fdatasync).
  virtual bool flush() = 0;
};

/// The other end of a serial line, debug console...
class CharBackend {
 public:
  virtual ~CharBackend() = default;
  /// Takes all bytes; a backend that cannot keep up drops.
  virtual void write(std::span<const uint8_t> bytes) = 0;
  /// One byte of input, if there is one now.
  virtual bool read(uint8_t& byte) = 0;
  /// Called by the backend (in the machine's thread) when input may have arrived.
  void set_input_hook(std::function<void()> hook) { input_hook_ = std::move(hook); }

 protected:
  void input_arrived() {
    if (input_hook_) input_hook_();
  }

 private:
  std::function<void()> input_hook_;
};

/// The text that a text-mode screen shows: code page 437 characters with attributes.
struct TextScreen {
  struct Cell {
    uint8_t character = ' ';
    uint8_t attribute = 7;
  };
  unsigned columns = 0;  ///< 0: the display is off or in a graphics mode
  unsigned rows = 0;
  std::vector<Cell> cells;  ///< row by row
  unsigned cursor_column = 0;
  unsigned cursor_row = 0;

  /// UTF-8, a line per row, trailing blanks removed.
  std::string to_utf8() const;
};

/// A picture, 32 bits a pixel (0x00RRGGBB), for windows and screenshots.
struct Frame {
  unsigned width = 0;
  unsigned height = 0;
  std::vector<uint32_t> pixels;
};

/// What a display adapter offers to a front end. Called from the machine's thread between engine runs.
class VideoSource {
 public:
  virtual ~VideoSource() = default;
  virtual TextScreen text_screen() const = 0;
  /// Renders the current picture (text modes with the guest's own font).
  virtual Frame render() const = 0;
};

/// Keys by position on a US keyboard, USB HID usage numbers (HID Usage Tables, section 10).
using HidKey = uint8_t;

/// What a keyboard accepts.
class KeyboardSink {
 public:
  virtual ~KeyboardSink() = default;
  virtual void key(HidKey key, bool down) = 0;
  /// True while the keyboard's buffer has room for at least one more key event.
  virtual bool ready() const = 0;
};

/// What a mouse accepts: relative motion in mickeys (dx to the right, dy towards the user, that is down the
/// screen, dz wheel clicks away from the user, that is up), buttons as bits (0 left, 1 right, 2 middle).
class MouseSink {
 public:
  virtual ~MouseSink() = default;
  virtual void move(int dx, int dy, int dz, unsigned buttons) = 0;
};

}  // namespace vireo
