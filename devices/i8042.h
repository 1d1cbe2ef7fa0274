// Keyboard controller of a PS/2-class machine: keyboard and auxiliary (mouse) port, A20 gate, CPU reset.
// Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and auxiliary device controller".
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <string_view>

#include "core/device.h"
#include "core/irq_line.h"
#include "core/scheduler.h"
#include "devices/ps2_port.h"

namespace vireo {

/// Bytes from the devices take kByteNs on the wire; answers of the controller itself are there at once. The
/// next byte enters the output buffer only some time after the last was read, so each makes an edge on its
/// interrupt line.
class I8042 final : public Device {
 public:
  static constexpr VirtualNs kByteNs = 500'000;

  /// `set_a20` hears every write of the output port's A20 bit (changed or not; port 0x92 drives the same
  /// gate, the last write wins). `reset_cpu` is called when the guest pulses or clears the reset bit.
  I8042(Scheduler& scheduler, IrqLine& irq1, IrqLine& irq12, Ps2Port& keyboard, Ps2Port& mouse,
        std::function<void(bool open)> set_a20, std::function<void()> reset_cpu);

  IoRegion& data_port() { return data_port_; }        ///< 1 port at 0x60
  IoRegion& command_port() { return command_port_; }  ///< 1 port at 0x64

  std::string_view name() const override { return "i8042"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  enum class Source : uint8_t { kController, kKeyboard, kMouse };

  uint8_t read_data(uint32_t offset);
  void write_data(uint32_t offset, uint8_t value);
  uint8_t read_status(uint32_t offset);
  void write_command(uint32_t offset, uint8_t value);

  void answer(uint8_t byte, Source source = Source::kController);
  void set_command_byte(uint8_t value);
  void write_output_port(uint8_t value);
  uint8_t output_port() const;
  void fill(uint8_t byte, Source source);
  void schedule();
  void deliver();
  bool keyboard_ready() const;
  bool mouse_ready() const;
  uint8_t translate(uint8_t set2_byte);
  void update_irqs();

  IrqLine& irq1_;
  IrqLine& irq12_;
  Ps2Port& keyboard_;
  Ps2Port& mouse_;
  std::function<void(bool)> set_a20_;
  std::function<void()> reset_cpu_;

  std::array<uint8_t, 32> ram_{};  ///< byte 0 is the command byte
  uint8_t output_port_ = 0;        ///< bits 0 to 3; 4 to 7 are derived
  uint8_t output_buffer_ = 0;
  bool output_full_ = false;
  bool output_is_aux_ = false;
  bool system_flag_ = false;
  bool last_write_was_command_ = false;
  uint8_t pending_command_ = 0;  ///< waits for its data byte
  uint8_t polled_input_ = 0;     ///< status bits 4 to 7 while command C1 or C2 is in force
  bool translating_break_ = false;
  struct Answer {
    uint8_t byte;
    Source source;
  };
  std::deque<Answer> answers_;  ///< of the controller, waiting for the output buffer
  Timer delivery_timer_;
  ByteRegion<I8042, &I8042::read_data, &I8042::write_data> data_port_{*this};
  ByteRegion<I8042, &I8042::read_status, &I8042::write_command> command_port_{*this};
};

}  // namespace vireo
