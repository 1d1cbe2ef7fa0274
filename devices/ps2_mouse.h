// A PS/2 mouse with wheel (IntelliMouse, and Explorer with five buttons).
// Source: IBM PS/2 Hardware Interface Technical Reference, "Mouse"; Microsoft IntelliMouse detection
// sequence.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string_view>

#include "core/device.h"
#include "core/host_io.h"
#include "core/scheduler.h"
#include "devices/ps2_port.h"

namespace vireo {

class Ps2Mouse final : public Device, public Ps2Port, public MouseSink {
 public:
  explicit Ps2Mouse(Scheduler& scheduler);

  /// MouseSink. Motion between two reports adds up; every change of the buttons gets a report of its own.
  void move(int dx, int dy, int dz, unsigned buttons) override;

  /// Ps2Port.
  void receive(uint8_t byte) override;

  std::string_view name() const override { return "ps2_mouse"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  /// Motion under one setting of the buttons.
  struct Motion {
    int32_t dx;
    int32_t dy;
    int32_t dz;
    uint32_t buttons;
  };

  void command(uint8_t byte);
  void parameter(uint8_t byte);
  void set_defaults();
  void note_sample_rate(uint8_t rate);
  void send_status();
  bool motion_waiting() const;
  /// Takes what one report can carry off the oldest motion.
  std::array<uint8_t, 4> take_report();
  size_t report_size() const { return id_ == 0 ? 3 : 4; }
  void report_or_wait();
  void output_taken() override { report_or_wait(); }

  Scheduler& scheduler_;
  Timer report_timer_;
  std::deque<Motion> motions_;  ///< oldest first; never empty after construction
  uint32_t reported_buttons_ = 0;
  VirtualNs next_report_ = 0;
  uint8_t id_ = 0;                  ///< 0 standard, 3 wheel, 4 wheel and five buttons
  std::array<uint8_t, 3> rates_{};  ///< the last three sample rates set
  uint8_t sample_rate_ = 100;
  uint8_t resolution_ = 2;
  bool scaling_2_to_1_ = false;
  bool reporting_ = false;
  bool remote_ = false;
  bool wrap_ = false;
  uint8_t pending_command_ = 0;
};

}  // namespace vireo
