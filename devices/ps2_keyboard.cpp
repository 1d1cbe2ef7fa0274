#include "devices/ps2_keyboard.h"

#include <algorithm>
#include <iterator>

#include "devices/ps2_scan_codes.h"

namespace vireo {

namespace {

constexpr uint8_t kAck = 0xfa;
constexpr uint8_t kResend = 0xfe;
constexpr uint8_t kSelfTestPassed = 0xaa;
constexpr uint8_t kBreak = 0xf0;
constexpr uint8_t kExtended = 0xe0;
constexpr uint8_t kDefaultTypematic = 0x2b;  // 10.9 per second after half a second

constexpr HidKey kPrintScreen = 0x46;
constexpr HidKey kPause = 0x48;
constexpr HidKey kLeftCtrl = 0xe0, kLeftShift = 0xe1, kLeftAlt = 0xe2;
constexpr HidKey kRightCtrl = 0xe4, kRightShift = 0xe5, kRightAlt = 0xe6;

// Set 3 codes that differ from plain typematic by default.
constexpr uint8_t kSet3MakeBreak[] = {0x11, 0x12, 0x14, 0x19, 0x59};
constexpr uint8_t kSet3MakeOnly[] = {0x07, 0x08, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x39, 0x3f,
                                     0x47, 0x4f, 0x56, 0x57, 0x58, 0x5e, 0x5f, 0x62, 0x65, 0x67,
                                     0x69, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73,
                                     0x74, 0x75, 0x76, 0x77, 0x79, 0x7a, 0x7d, 0x7e};

}  // namespace

Ps2Keyboard::Ps2Keyboard(Scheduler& scheduler) : typematic_timer_(scheduler, [this] { repeat(); }) {
  set_defaults();
}

// --- keys ---------------------------------------------------------------------------------------

bool Ps2Keyboard::shift_down() const {
  return down_[kLeftShift] || down_[kRightShift];
}
bool Ps2Keyboard::ctrl_down() const {
  return down_[kLeftCtrl] || down_[kRightCtrl];
}
bool Ps2Keyboard::alt_down() const {
  return down_[kLeftAlt] || down_[kRightAlt];
}

void Ps2Keyboard::key(HidKey key, bool down) {
  if (scan_codes(key).set2 == 0 || down_[key] == down) return;
  down_[key] = down;
  if (!enabled_) return;
  send_key(key, down);
  if (!down) {
    if (key == repeating_) stop_typematic();
    return;
  }
  const KeyType type = key_type(key);
  if (type == KeyType::kTypematic || type == KeyType::kTypematicMakeBreak) {
    start_typematic(key);
  } else {
    stop_typematic();
  }
}

Ps2Keyboard::KeyType Ps2Keyboard::key_type(HidKey key) const {
  if (scan_set_ == 3) return key_types_[scan_codes(key).set3];
  return key == kPause ? KeyType::kMakeOnly : KeyType::kTypematicMakeBreak;
}

void Ps2Keyboard::send_key(HidKey key, bool down) {
  const ScanCodes codes = scan_codes(key);
  if (scan_set_ == 3) {
    const KeyType type = key_type(key);
    if (codes.set3 == 0 || (!down && (type == KeyType::kTypematic || type == KeyType::kMakeOnly))) return;
    const uint8_t bytes[] = {kBreak, codes.set3};
    send_sequence(std::span(bytes).subspan(down ? 1 : 0));
    return;
  }
  if (key == kPause) {
    static constexpr uint8_t kPauseBytes[] = {0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77};
    static constexpr uint8_t kBreakKeyBytes[] = {0xe0, 0x7e, 0xe0, 0xf0, 0x7e};
    if (down) send_sequence(ctrl_down() ? std::span<const uint8_t>(kBreakKeyBytes) : kPauseBytes);
    return;
  }
  if (key == kPrintScreen && alt_down()) {
    static constexpr uint8_t kSysRq[] = {kBreak, 0x84};
    send_sequence(std::span(kSysRq).subspan(down ? 1 : 0));
    return;
  }
  if (key == kPrintScreen && !shift_down() && !ctrl_down()) {
    // Wrapped in a shift that nobody pressed: programs written for the 83-key keyboard know Shift with keypad
    // *.
    static constexpr uint8_t kMake[] = {0xe0, 0x12, 0xe0, 0x7c};
    static constexpr uint8_t kRelease[] = {0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12};
    send_sequence(down ? std::span<const uint8_t>(kMake) : kRelease);
    return;
  }
  std::array<uint8_t, 3> bytes{};
  size_t count = 0;
  if (codes.extended) bytes[count++] = kExtended;
  if (!down) bytes[count++] = kBreak;
  bytes[count++] = codes.set2;
  send_sequence(std::span(bytes).first(count));
}

void Ps2Keyboard::send_sequence(std::span<const uint8_t> set2_bytes) {
  if (waiting_events() + set2_bytes.size() > kBufferSize) {
    const uint8_t overrun = *overrun_code();
    if (waiting_events() <= kBufferSize && last_event() != overrun) send_event(overrun);
    return;
  }
  bool released = false;
  for (const uint8_t byte : set2_bytes) {
    if (scan_set_ != 1) {
      send_event(byte);
    } else if (byte == kBreak) {
      released = true;
    } else {
      send_event(static_cast<uint8_t>(set2_to_set1(byte) | (released ? 0x80 : 0)));
      released = false;
    }
  }
}

// --- typematic ----------------------------------------------------------------------------------

void Ps2Keyboard::start_typematic(HidKey key) {
  repeating_ = key;
  typematic_timer_.arm_after(((typematic_ >> 5 & 3) + 1) * (kNsPerSecond / 4));
}

void Ps2Keyboard::stop_typematic() {
  repeating_ = 0;
  typematic_timer_.disarm();
}

void Ps2Keyboard::repeat() {
  if (repeating_ == 0 || !enabled_) return;
  // Repeats nobody reads are not worth an overrun.
  if (ready()) send_key(repeating_, true);
  const VirtualNs period = (8 + (typematic_ & 7)) * (VirtualNs{1} << (typematic_ >> 3 & 3)) * 4'170'000;
  typematic_timer_.arm_after(period);
}

// --- commands -----------------------------------------------------------------------------------

void Ps2Keyboard::set_defaults() {
  scan_set_ = 2;
  typematic_ = kDefaultTypematic;
  key_types_.fill(KeyType::kTypematic);
  for (const uint8_t code : kSet3MakeBreak) key_types_[code] = KeyType::kMakeBreak;
  for (const uint8_t code : kSet3MakeOnly) key_types_[code] = KeyType::kMakeOnly;
  stop_typematic();
}

void Ps2Keyboard::receive(uint8_t byte) {
  // A command in place of a parameter ends the command that waited for it.
  if (pending_command_ != 0 && byte < 0xed) {
    parameter(byte);
  } else {
    pending_command_ = 0;
    command(byte);
  }
}

void Ps2Keyboard::command(uint8_t byte) {
  switch (byte) {
    case 0xed:  // set LEDs
    case 0xf0:  // select scan code set
    case 0xf3:  // set typematic rate
    case 0xfb:  // set 3: key types by code
    case 0xfc:
    case 0xfd:
      pending_command_ = byte;
      answer(kAck);
      break;
    case 0xee:  // echo
      answer(0xee);
      break;
    case 0xf2:  // identify
      answer(kAck);
      answer(0xab);
      answer(0x83);
      break;
    case 0xf4:  // enable
      drop_events();
      enabled_ = true;
      answer(kAck);
      break;
    case 0xf5:  // defaults, disabled
    case 0xf6:  // defaults
      drop_events();
      set_defaults();
      enabled_ = byte == 0xf6;
      answer(kAck);
      break;
    case 0xf7:  // set 3: all keys typematic, make/break, make only, typematic with make/break
      key_types_.fill(KeyType::kTypematic);
      answer(kAck);
      break;
    case 0xf8:
      key_types_.fill(KeyType::kMakeBreak);
      answer(kAck);
      break;
    case 0xf9:
      key_types_.fill(KeyType::kMakeOnly);
      answer(kAck);
      break;
    case 0xfa:
      key_types_.fill(KeyType::kTypematicMakeBreak);
      answer(kAck);
      break;
    case 0xfe:
      answer(last_output());
      break;
    case 0xff:
      drop_output();
      set_defaults();
      enabled_ = true;
      leds_ = 0;
      answer(kAck);
      answer(kSelfTestPassed);
      break;
    default:
      answer(kResend);
      break;
  }
}

void Ps2Keyboard::parameter(uint8_t byte) {
  const uint8_t command = pending_command_;
  pending_command_ = 0;
  switch (command) {
    case 0xed:
      leds_ = byte & 7;
      break;
    case 0xf0:
      if (byte > 3) {
        answer(kResend);
        return;
      }
      answer(kAck);
      if (byte == 0) {
        answer(scan_set_);
      } else {
        scan_set_ = byte;
        drop_events();
        stop_typematic();
      }
      return;
    case 0xf3:
      typematic_ = byte & 0x7f;
      break;
    case 0xfb:
      key_types_[byte] = KeyType::kTypematic;
      pending_command_ = command;  // codes follow until the next command
      break;
    case 0xfc:
      key_types_[byte] = KeyType::kMakeBreak;
      pending_command_ = command;
      break;
    default:
      key_types_[byte] = KeyType::kMakeOnly;
      pending_command_ = command;
      break;
  }
  answer(kAck);
}

// --- device -------------------------------------------------------------------------------------

void Ps2Keyboard::reset() {
  drop_output();
  set_defaults();
  down_.reset();
  enabled_ = true;
  leds_ = 0;
  pending_command_ = 0;
}

void Ps2Keyboard::state(StateArchive& ar) {
  port_state(ar);
  ar.field("typematic_timer", typematic_timer_);
  ar.field("down", down_);
  ar.field("repeating", repeating_);
  ar.field("enabled", enabled_);
  ar.field("scan_set", scan_set_);
  ar.field("leds", leds_);
  ar.field("typematic", typematic_);
  ar.field("pending_command", pending_command_);
  ar.field("key_types", key_types_);
}

}  // namespace vireo
