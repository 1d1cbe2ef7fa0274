// Serial port with FIFOs.
// Source: National PC16550D data sheet (TL/C/8652).
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "core/device.h"
#include "core/host_io.h"
#include "core/irq_line.h"
#include "core/scheduler.h"

namespace vireo {

/// Transmission takes no time: what the guest writes is with the backend at once. Reception takes the time
/// that the programmed divisor and frame say, so that interrupts come as edges; bytes wait in the backend
/// while there is no room for them, so the overrun error is seen in loopback only.
class Uart16550 final : public Device {
 public:
  /// `name` is unique, as "uart16550.com1".
  Uart16550(std::string name, Scheduler& scheduler, IrqLine& irq, CharBackend& backend);
  ~Uart16550() override;

  IoRegion& ports() { return ports_; }  ///< 8 ports at 0x3f8, 0x2f8...

  /// The line's modem inputs, bits as in MSR 4 to 7 (CTS, DSR, RI, DCD). At power-on CTS, DSR and DCD are on.
  void set_modem_inputs(uint8_t msr_bits);
  /// The other end holds the line at "space" for longer than a frame.
  void receive_break();

  std::string_view name() const override { return name_; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  struct Received {
    uint8_t byte;
    uint8_t errors;  ///< LSR bits 1 to 4
  };

  uint8_t read_port(uint32_t offset);
  void write_port(uint32_t offset, uint8_t value);
  uint8_t read_rbr();
  uint8_t read_iir();
  uint8_t read_lsr();
  void write_thr(uint8_t byte);
  void write_ier(uint8_t value);
  void write_fcr(uint8_t value);
  void write_lcr(uint8_t value);
  void write_mcr(uint8_t value);

  bool fifo_enabled() const { return fcr_ & 1; }
  bool loopback() const { return mcr_ & 0x10; }
  size_t capacity() const { return fifo_enabled() ? 16 : 1; }
  size_t trigger_level() const;
  VirtualNs frame_ns() const;
  void push_received(Received item);
  void clear_receiver();
  void receive_from_backend();
  void schedule_reception();
  void restart_timeout();
  uint8_t interrupt_id() const;
  uint8_t modem_inputs() const;
  void update_modem_status();
  void update_irq();

  const std::string name_;
  Scheduler& scheduler_;
  IrqLine& irq_;
  CharBackend& backend_;

  std::deque<Received> received_;
  uint16_t divisor_ = 12;
  uint8_t ier_ = 0;
  uint8_t fcr_ = 0;
  uint8_t lcr_ = 0;
  uint8_t mcr_ = 0;
  uint8_t scratch_ = 0;
  uint8_t modem_lines_;        ///< from outside
  uint8_t modem_status_ = 0;   ///< MSR bits 4 to 7 as last seen
  uint8_t modem_deltas_ = 0;   ///< MSR bits 0 to 3
  uint8_t last_received_ = 0;  ///< what RBR gives when empty
  bool overrun_ = false;
  bool transmit_interrupt_ = false;  ///< THRE interrupt pending
  bool timeout_interrupt_ = false;
  bool input_waiting_ = true;     ///< the backend may have a byte
  VirtualNs next_reception_ = 0;  ///< the line is busy until then
  Timer reception_timer_;
  Timer timeout_timer_;
  ByteRegion<Uart16550, &Uart16550::read_port, &Uart16550::write_port> ports_{*this};
};

}  // namespace vireo
