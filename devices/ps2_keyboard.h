// A 102-key keyboard with multimedia keys: scan code sets 1, 2 and 3, typematic repeat.
// Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-key)"; USB HID to PS/2
// scan code translation table (Microsoft).
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/device.h"
#include "core/host_io.h"
#include "core/scheduler.h"
#include "devices/ps2_port.h"

namespace vireo {

class Ps2Keyboard final : public Device, public Ps2Port, public KeyboardSink {
 public:
  explicit Ps2Keyboard(Scheduler& scheduler);

  /// KeyboardSink. Repeats (down while down) from the host are dropped: the keyboard has its own.
  void key(HidKey key, bool down) override;
  bool ready() const override { return waiting_events() + kLongestKey <= kBufferSize; }

  /// Ps2Port.
  void receive(uint8_t byte) override;

  /// As the guest set them: bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
  uint8_t leds() const { return leds_; }

  std::string_view name() const override { return "ps2_keyboard"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  static constexpr size_t kLongestKey = 8;  ///< Pause

  /// What keys of set 3 do (commands F7 to FD).
  enum class KeyType : uint8_t { kTypematic, kMakeBreak, kMakeOnly, kTypematicMakeBreak };

  std::optional<uint8_t> overrun_code() const override { return scan_set_ == 1 ? 0xff : 0x00; }
  void command(uint8_t byte);
  void parameter(uint8_t byte);
  void set_defaults();
  KeyType key_type(HidKey key) const;
  void send_key(HidKey key, bool down);
  /// Set 2 bytes with their prefixes; sent in set 1 if that is selected. All or an overrun code.
  void send_sequence(std::span<const uint8_t> set2_bytes);
  void start_typematic(HidKey key);
  void stop_typematic();
  void repeat();
  bool shift_down() const;
  bool ctrl_down() const;
  bool alt_down() const;

  Timer typematic_timer_;
  std::bitset<256> down_;  ///< by HID usage
  HidKey repeating_ = 0;
  bool enabled_ = true;
  uint8_t scan_set_ = 2;
  uint8_t leds_ = 0;
  uint8_t typematic_ = 0x2b;              ///< parameter of command F3
  uint8_t pending_command_ = 0;           ///< waits for a parameter
  std::array<KeyType, 256> key_types_{};  ///< by set 3 code
};

}  // namespace vireo
