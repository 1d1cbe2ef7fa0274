#include "devices/i8042.h"

#include <utility>

#include "core/log.h"
#include "devices/ps2_scan_codes.h"

namespace vireo {

namespace {

constexpr uint8_t kStatusOutputFull = 1 << 0;
constexpr uint8_t kStatusSystem = 1 << 2;
constexpr uint8_t kStatusCommand = 1 << 3;
constexpr uint8_t kStatusNotInhibited = 1 << 4;
constexpr uint8_t kStatusAux = 1 << 5;

constexpr uint8_t kModeIrq1 = 1 << 0;
constexpr uint8_t kModeIrq12 = 1 << 1;
constexpr uint8_t kModeSystem = 1 << 2;
constexpr uint8_t kModeDisableKeyboard = 1 << 4;
constexpr uint8_t kModeDisableMouse = 1 << 5;
constexpr uint8_t kModeTranslate = 1 << 6;

constexpr uint8_t kOutNotReset = 1 << 0;
constexpr uint8_t kOutA20 = 1 << 1;
constexpr uint8_t kOutKeyboardFull = 1 << 4;
constexpr uint8_t kOutAuxFull = 1 << 5;
constexpr uint8_t kOutReset = 0x0f;  // lines at rest, A20 open

// No manufacturing jumper, colour display, keyboard not locked.
constexpr uint8_t kInputPort = 0xa0;

// The controller's own pause between a read of the buffer and its next answer.
constexpr VirtualNs kAnswerNs = 20'000;

constexpr uint8_t kBreakPrefix = 0xf0;

// Real controllers keep none: they do not look at the next command before their answer is read.
constexpr size_t kMostAnswers = 16;

}  // namespace

I8042::I8042(Scheduler& scheduler, IrqLine& irq1, IrqLine& irq12, Ps2Port& keyboard, Ps2Port& mouse,
             std::function<void(bool open)> set_a20, std::function<void()> reset_cpu)
    : irq1_(irq1),
      irq12_(irq12),
      keyboard_(keyboard),
      mouse_(mouse),
      set_a20_(std::move(set_a20)),
      reset_cpu_(std::move(reset_cpu)),
      delivery_timer_(scheduler, [this] { deliver(); }) {
  keyboard_.set_output_hook([this] { schedule(); });
  mouse_.set_output_hook([this] { schedule(); });
  reset();
}

// --- output buffer ------------------------------------------------------------------------------

bool I8042::keyboard_ready() const {
  return !(ram_[0] & kModeDisableKeyboard) && keyboard_.has_output();
}
bool I8042::mouse_ready() const {
  return !(ram_[0] & kModeDisableMouse) && mouse_.has_output();
}

void I8042::answer(uint8_t byte, Source source) {
  if (answers_.size() == kMostAnswers) {
    guest_error(LogCategory::kInput, "keyboard controller: {} answers wait, another is lost", kMostAnswers);
  } else if (output_full_ || !answers_.empty()) {
    answers_.push_back({byte, source});
  } else {
    fill(byte, source);
  }
}

void I8042::fill(uint8_t byte, Source source) {
  output_buffer_ = byte;
  output_full_ = true;
  output_is_aux_ = source == Source::kMouse;
  update_irqs();
}

void I8042::schedule() {
  if (output_full_ || delivery_timer_.armed()) return;
  if (!answers_.empty()) {
    delivery_timer_.arm_after(kAnswerNs);
  } else if (keyboard_ready() || mouse_ready()) {
    delivery_timer_.arm_after(kByteNs);
  }
}

void I8042::deliver() {
  if (output_full_) return;  // an answer came first; reading it schedules again
  if (!answers_.empty()) {
    const Answer next = answers_.front();
    answers_.pop_front();
    fill(next.byte, next.source);
  } else if (keyboard_ready()) {
    const uint8_t byte = keyboard_.take_output();
    if (!(ram_[0] & kModeTranslate)) {
      fill(byte, Source::kKeyboard);
    } else if (byte == kBreakPrefix) {
      translating_break_ = true;
      schedule();
    } else {
      fill(translate(byte), Source::kKeyboard);
    }
  } else if (mouse_ready()) {
    fill(mouse_.take_output(), Source::kMouse);
  }
}

uint8_t I8042::translate(uint8_t set2_byte) {
  const uint8_t break_bit = std::exchange(translating_break_, false) ? 0x80 : 0;
  return set2_to_set1(set2_byte) | break_bit;
}

void I8042::update_irqs() {
  irq1_.set(output_full_ && !output_is_aux_ && (ram_[0] & kModeIrq1));
  irq12_.set(output_full_ && output_is_aux_ && (ram_[0] & kModeIrq12));
}

// --- ports --------------------------------------------------------------------------------------

uint8_t I8042::read_data(uint32_t) {
  if (output_full_) {
    output_full_ = false;
    update_irqs();
    schedule();
  }
  return output_buffer_;
}

uint8_t I8042::read_status(uint32_t) {
  uint8_t value = polled_input_ != 0 ? polled_input_ : kStatusNotInhibited;
  if (output_full_) value |= kStatusOutputFull;
  if (output_full_ && output_is_aux_) value |= kStatusAux;
  if (system_flag_) value |= kStatusSystem;
  if (last_write_was_command_) value |= kStatusCommand;
  return value;
}

void I8042::write_data(uint32_t, uint8_t value) {
  last_write_was_command_ = false;
  const uint8_t command = std::exchange(pending_command_, 0);
  if (command >= 0x60 && command <= 0x7f) {
    if (command == 0x60) {
      set_command_byte(value);
    } else {
      ram_[command & 0x1f] = value;
    }
    return;
  }
  switch (command) {
    case 0xd1:
      write_output_port(value);
      break;
    case 0xd2:
      answer(value, Source::kKeyboard);
      break;
    case 0xd3:
      answer(value, Source::kMouse);
      break;
    case 0xd4:
      // Sending to a device releases its clock line.
      ram_[0] &= static_cast<uint8_t>(~kModeDisableMouse);
      mouse_.receive(value);
      break;
    case 0xa5:
      if (value != 0) pending_command_ = 0xa5;  // a password, up to its zero; passwords are not supported
      break;
    case 0xcb:
      break;
    default:
      ram_[0] &= static_cast<uint8_t>(~kModeDisableKeyboard);
      keyboard_.receive(value);
      break;
  }
}

void I8042::write_command(uint32_t, uint8_t value) {
  last_write_was_command_ = true;
  polled_input_ = 0;
  pending_command_ = 0;
  if (value >= 0x20 && value <= 0x3f) {
    answer(ram_[value & 0x1f]);
    return;
  }
  if ((value >= 0x60 && value <= 0x7f) || (value >= 0xd1 && value <= 0xd4) || value == 0xa5 ||
      value == 0xcb) {
    pending_command_ = value;
    return;
  }
  if (value >= 0xf0) {  // pulse the low lines of the output port whose bit is 0
    if (!(value & kOutNotReset)) reset_cpu_();
    return;
  }
  switch (value) {
    case 0xa4:
      answer(0xf1);  // no password installed
      break;
    case 0xa7:
      set_command_byte(ram_[0] | kModeDisableMouse);
      break;
    case 0xa8:
      set_command_byte(ram_[0] & static_cast<uint8_t>(~kModeDisableMouse));
      break;
    case 0xa9:
    case 0xab:
      answer(0x00);  // clock and data lines are all right
      break;
    case 0xaa:
      system_flag_ = true;
      ram_[0] |= kModeSystem;
      answer(0x55);
      break;
    case 0xad:
      set_command_byte(ram_[0] | kModeDisableKeyboard);
      break;
    case 0xae:
      set_command_byte(ram_[0] & static_cast<uint8_t>(~kModeDisableKeyboard));
      break;
    case 0xc0:
      answer(kInputPort);
      break;
    case 0xc1:
      polled_input_ = static_cast<uint8_t>(kInputPort << 4);
      break;
    case 0xc2:
      polled_input_ = kInputPort & 0xf0;
      break;
    case 0xca:
      answer(0x01);  // PS/2 mode
      break;
    case 0xd0:
      answer(output_port());
      break;
    case 0xdd:
      write_output_port(output_port_ & static_cast<uint8_t>(~kOutA20));
      break;
    case 0xdf:
      write_output_port(output_port_ | kOutA20);
      break;
    case 0xe0:
      answer(static_cast<uint8_t>((ram_[0] & kModeDisableKeyboard ? 0 : 1) |
                                  (ram_[0] & kModeDisableMouse ? 0 : 2)));
      break;
    default:
      guest_error(LogCategory::kInput, "keyboard controller: unknown command {:#04x}", value);
      break;
  }
}

void I8042::set_command_byte(uint8_t value) {
  ram_[0] = value;
  system_flag_ = value & kModeSystem;
  update_irqs();
  schedule();
}

uint8_t I8042::output_port() const {
  uint8_t value = 0xc0 | output_port_;
  if (output_full_) value |= output_is_aux_ ? kOutAuxFull : kOutKeyboardFull;
  return value;
}

void I8042::write_output_port(uint8_t value) {
  output_port_ = (value & 0x0f) | kOutNotReset;
  set_a20_(value & kOutA20);
  if (!(value & kOutNotReset)) reset_cpu_();
}

// --- device -------------------------------------------------------------------------------------

void I8042::reset() {
  ram_ = {};
  ram_[0] = kModeIrq1 | kModeIrq12;
  output_port_ = kOutReset;
  output_buffer_ = 0;
  output_full_ = false;
  output_is_aux_ = false;
  system_flag_ = false;
  last_write_was_command_ = true;
  pending_command_ = 0;
  polled_input_ = 0;
  translating_break_ = false;
  answers_.clear();
  delivery_timer_.disarm();
  update_irqs();
}

void I8042::state(StateArchive& ar) {
  ar.field("ram", ram_);
  ar.field("output_port", output_port_);
  ar.field("output_buffer", output_buffer_);
  ar.field("output_full", output_full_);
  ar.field("output_is_aux", output_is_aux_);
  ar.field("system_flag", system_flag_);
  ar.field("last_write_was_command", last_write_was_command_);
  ar.field("pending_command", pending_command_);
  ar.field("polled_input", polled_input_);
  ar.field("translating_break", translating_break_);
  ar.field("answers", answers_);
  ar.field("delivery_timer", delivery_timer_);
  ar.field("irq1", irq1_);
  ar.field("irq12", irq12_);
  if (ar.loading() && answers_.size() > kMostAnswers) throw StateError("i8042: too many answers");
}

}  // namespace vireo
