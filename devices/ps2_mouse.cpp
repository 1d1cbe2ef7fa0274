#include "devices/ps2_mouse.h"

#include <algorithm>
#include <cstdlib>

namespace vireo {

namespace {

constexpr uint8_t kAck = 0xfa;
constexpr uint8_t kResend = 0xfe;
constexpr uint8_t kError = 0xfc;
constexpr uint8_t kSelfTestPassed = 0xaa;

constexpr uint8_t kWheelId = 3;
constexpr uint8_t kFiveButtonId = 4;
constexpr std::array<uint8_t, 3> kWheelKnock = {200, 100, 80};
constexpr std::array<uint8_t, 3> kFiveButtonKnock = {200, 200, 80};

constexpr int kLargestMotion = 127;
constexpr int kLargestWheel = 7;
constexpr size_t kMostMotions = 32;

int take(int32_t& from, int most) {
  const int part = std::clamp(static_cast<int>(from), -most, most);
  from -= part;
  return part;
}

int scale_2_to_1(int motion) {
  static constexpr std::array<int, 6> kSmall = {0, 1, 1, 3, 6, 9};
  const int size = std::abs(motion);
  const int scaled = size < static_cast<int>(kSmall.size()) ? kSmall[static_cast<size_t>(size)] : 2 * size;
  return motion < 0 ? -scaled : scaled;
}

}  // namespace

Ps2Mouse::Ps2Mouse(Scheduler& scheduler)
    : scheduler_(scheduler), report_timer_(scheduler, [this] { report_or_wait(); }), motions_{{}} {}

// --- motion -------------------------------------------------------------------------------------

void Ps2Mouse::move(int dx, int dy, int dz, unsigned buttons) {
  if (!reporting_ && !remote_) {
    motions_ = {{0, 0, 0, buttons}};
    reported_buttons_ = buttons;
    return;
  }
  if (motions_.back().buttons != buttons && motion_waiting() && motions_.size() < kMostMotions) {
    motions_.push_back({0, 0, 0, buttons});
  }
  Motion& motion = motions_.back();
  motion.buttons = buttons;
  // Saturating: a guest that does not listen must not see the pointer fly when it wakes up.
  constexpr int kMost = 4096;
  motion.dx = std::clamp(motion.dx + std::clamp(dx, -kMost, kMost), -kMost, kMost);
  motion.dy = std::clamp(motion.dy + std::clamp(dy, -kMost, kMost), -kMost, kMost);
  motion.dz = std::clamp(motion.dz + std::clamp(dz, -kMost, kMost), -kMost, kMost);
  if (id_ == 0) motion.dz = 0;
  report_or_wait();
}

bool Ps2Mouse::motion_waiting() const {
  const Motion& oldest = motions_.front();
  return motions_.size() > 1 || oldest.dx != 0 || oldest.dy != 0 || oldest.dz != 0 ||
         oldest.buttons != reported_buttons_;
}

std::array<uint8_t, 4> Ps2Mouse::take_report() {
  Motion& oldest = motions_.front();
  int dx = take(oldest.dx, kLargestMotion);
  int dy = -take(oldest.dy, kLargestMotion);       // the mouse counts away from the user
  const int dz = -take(oldest.dz, kLargestWheel);  // and its wheel towards
  const uint32_t buttons = oldest.buttons;
  reported_buttons_ = buttons;
  if (motions_.size() > 1 && oldest.dx == 0 && oldest.dy == 0 && oldest.dz == 0) motions_.pop_front();
  if (scaling_2_to_1_ && !remote_) {
    dx = std::clamp(scale_2_to_1(dx), -255, 255);
    dy = std::clamp(scale_2_to_1(dy), -255, 255);
  }
  std::array<uint8_t, 4> report{};
  report[0] = static_cast<uint8_t>(0x08 | (buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
  report[1] = static_cast<uint8_t>(dx);
  report[2] = static_cast<uint8_t>(dy);
  report[3] = static_cast<uint8_t>(dz);
  if (id_ == kFiveButtonId) report[3] = static_cast<uint8_t>((dz & 0x0f) | (buttons >> 3 & 3) << 4);
  return report;
}

void Ps2Mouse::report_or_wait() {
  if (!reporting_ || remote_ || wrap_ || has_output() || !motion_waiting()) return;
  if (scheduler_.now() < next_report_) {
    if (!report_timer_.armed()) report_timer_.arm_at(next_report_);
    return;
  }
  next_report_ = scheduler_.now() + kNsPerSecond / sample_rate_;
  const auto report = take_report();
  for (size_t i = 0; i < report_size(); ++i) send_event(report[i]);
}

// --- commands -----------------------------------------------------------------------------------

void Ps2Mouse::set_defaults() {
  sample_rate_ = 100;
  resolution_ = 2;
  scaling_2_to_1_ = false;
  reporting_ = false;
  remote_ = false;
  wrap_ = false;
}

void Ps2Mouse::receive(uint8_t byte) {
  if (wrap_ && byte != 0xff && byte != 0xec) {
    answer(byte);
    return;
  }
  // The host's byte cuts off a report that is under way.
  drop_events();
  if (pending_command_ != 0) {
    parameter(byte);
  } else {
    command(byte);
  }
}

void Ps2Mouse::command(uint8_t byte) {
  switch (byte) {
    case 0xe6:
    case 0xe7:
      scaling_2_to_1_ = byte == 0xe7;
      answer(kAck);
      break;
    case 0xe8:  // set resolution
    case 0xf3:  // set sample rate
      pending_command_ = byte;
      answer(kAck);
      break;
    case 0xe9:
      send_status();
      break;
    case 0xea:
      remote_ = false;
      answer(kAck);
      break;
    case 0xeb: {  // read data
      answer(kAck);
      const auto report = take_report();
      for (size_t i = 0; i < report_size(); ++i) answer(report[i]);
      break;
    }
    case 0xec:
    case 0xee:
      wrap_ = byte == 0xee;
      answer(kAck);
      break;
    case 0xf0:
      remote_ = true;
      answer(kAck);
      break;
    case 0xf2:
      answer(kAck);
      answer(id_);
      break;
    case 0xf4:
    case 0xf5:
      reporting_ = byte == 0xf4;
      motions_ = {{0, 0, 0, motions_.back().buttons}};
      answer(kAck);
      break;
    case 0xf6:
      set_defaults();
      answer(kAck);
      break;
    case 0xfe:
      answer(last_output());
      break;
    case 0xff:
      drop_output();
      set_defaults();
      id_ = 0;
      rates_ = {};
      answer(kAck);
      answer(kSelfTestPassed);
      answer(id_);
      break;
    default:
      answer(kResend);
      break;
  }
}

void Ps2Mouse::parameter(uint8_t byte) {
  const uint8_t command = pending_command_;
  if (command == 0xe8) {
    if (byte > 3) {
      answer(kError);
      pending_command_ = 0;
      return;
    }
    resolution_ = byte;
  } else {
    note_sample_rate(byte);
  }
  pending_command_ = 0;
  answer(kAck);
}

void Ps2Mouse::note_sample_rate(uint8_t rate) {
  sample_rate_ = rate != 0 ? rate : 100;
  rates_ = {rates_[1], rates_[2], rate};
  if (rates_ == kWheelKnock) id_ = kWheelId;
  if (rates_ == kFiveButtonKnock) id_ = kFiveButtonId;
}

void Ps2Mouse::send_status() {
  const uint32_t buttons = motions_.back().buttons;
  answer(kAck);
  answer(static_cast<uint8_t>((remote_ ? 0x40 : 0) | (reporting_ ? 0x20 : 0) | (scaling_2_to_1_ ? 0x10 : 0) |
                              (buttons & 1) << 2 | (buttons >> 2 & 1) << 1 | (buttons >> 1 & 1)));
  answer(resolution_);
  answer(sample_rate_);
}

// --- device -------------------------------------------------------------------------------------

void Ps2Mouse::reset() {
  drop_output();
  set_defaults();
  id_ = 0;
  rates_ = {};
  pending_command_ = 0;
  motions_ = {{}};
  reported_buttons_ = 0;
  next_report_ = 0;
  report_timer_.disarm();
}

void Ps2Mouse::state(StateArchive& ar) {
  port_state(ar);
  ar.field("report_timer", report_timer_);
  ar.field("motions", motions_);
  ar.field("reported_buttons", reported_buttons_);
  ar.field("next_report", next_report_);
  ar.field("id", id_);
  ar.field("rates", rates_);
  ar.field("sample_rate", sample_rate_);
  ar.field("resolution", resolution_);
  ar.field("scaling_2_to_1", scaling_2_to_1_);
  ar.field("reporting", reporting_);
  ar.field("remote", remote_);
  ar.field("wrap", wrap_);
  ar.field("pending_command", pending_command_);
  if (ar.loading() && motions_.empty()) throw StateError("ps2_mouse: no motion record");
}

}  // namespace vireo
