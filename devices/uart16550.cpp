#include "devices/uart16550.h"

#include <algorithm>
#include <utility>

namespace vireo {

namespace {

enum Register : uint32_t { kData, kIer, kIirFcr, kLcr, kMcr, kLsr, kMsr, kScratch };

constexpr uint8_t kIerReceived = 1 << 0;
constexpr uint8_t kIerTransmit = 1 << 1;
constexpr uint8_t kIerLine = 1 << 2;
constexpr uint8_t kIerModem = 1 << 3;

constexpr uint8_t kIirNone = 0x1;
constexpr uint8_t kIirModem = 0x0;
constexpr uint8_t kIirTransmit = 0x2;
constexpr uint8_t kIirReceived = 0x4;
constexpr uint8_t kIirLine = 0x6;
constexpr uint8_t kIirTimeout = 0xc;

constexpr uint8_t kFcrClearReceiver = 1 << 1;
constexpr uint8_t kLcrBreak = 1 << 6;
constexpr uint8_t kLcrDivisorAccess = 1 << 7;
constexpr uint8_t kMcrOut2 = 1 << 3;

constexpr uint8_t kLsrDataReady = 1 << 0;
constexpr uint8_t kLsrOverrun = 1 << 1;
constexpr uint8_t kLsrBreak = 1 << 4;
constexpr uint8_t kLsrTransmitterEmpty = 0x60;  // THRE and TEMT
constexpr uint8_t kLsrErrorInFifo = 1 << 7;

constexpr uint8_t kMsrCts = 1 << 4;
constexpr uint8_t kMsrDsr = 1 << 5;
constexpr uint8_t kMsrRi = 1 << 6;
constexpr uint8_t kMsrDcd = 1 << 7;

constexpr uint64_t kBaudBase = 115200;  // 1.8432 MHz / 16

}  // namespace

Uart16550::Uart16550(std::string name, Scheduler& scheduler, IrqLine& irq, CharBackend& backend)
    : name_(std::move(name)),
      scheduler_(scheduler),
      irq_(irq),
      backend_(backend),
      modem_lines_(kMsrCts | kMsrDsr | kMsrDcd),
      reception_timer_(scheduler, [this] { receive_from_backend(); }),
      timeout_timer_(scheduler, [this] {
        timeout_interrupt_ = !received_.empty();
        update_irq();
      }) {
  backend_.set_input_hook([this] {
    input_waiting_ = true;
    schedule_reception();
  });
  reset();
}

Uart16550::~Uart16550() {
  backend_.set_input_hook(nullptr);
}

// --- reception ----------------------------------------------------------------------------------

VirtualNs Uart16550::frame_ns() const {
  const unsigned half_bits =
      2 * (1 + 5 + (lcr_ & 3u) + (lcr_ & 8 ? 1 : 0)) + (lcr_ & 4 ? ((lcr_ & 3) == 0 ? 3 : 4) : 2);
  const uint64_t divisor = divisor_ != 0 ? divisor_ : 1;
  return static_cast<VirtualNs>(muldiv64(half_bits * divisor, kNsPerSecond, 2 * kBaudBase));
}

size_t Uart16550::trigger_level() const {
  static constexpr std::array<size_t, 4> kLevels = {1, 4, 8, 14};
  return fifo_enabled() ? kLevels[fcr_ >> 6] : 1;
}

void Uart16550::schedule_reception() {
  if (!input_waiting_ || reception_timer_.armed() || loopback() || received_.size() >= capacity()) return;
  reception_timer_.arm_at(std::max(scheduler_.now(), next_reception_));
}

void Uart16550::receive_from_backend() {
  if (loopback() || received_.size() >= capacity()) return;
  uint8_t byte = 0;
  if (!backend_.read(byte)) {
    input_waiting_ = false;
    return;
  }
  next_reception_ = scheduler_.now() + frame_ns();
  push_received({byte, 0});
  schedule_reception();
}

void Uart16550::push_received(Received item) {
  if (received_.size() >= capacity()) {
    overrun_ = true;
    // Without FIFOs the new byte replaces the old one; with them it is lost in the shift register.
    if (!fifo_enabled()) received_.back() = item;
  } else {
    received_.push_back(item);
  }
  restart_timeout();
  update_irq();
}

void Uart16550::receive_break() {
  if (!loopback()) push_received({0, kLsrBreak});
}

/// Four frames without a byte in or out while there are some below the trigger level raise an interrupt.
void Uart16550::restart_timeout() {
  timeout_interrupt_ = false;
  if (fifo_enabled() && !received_.empty()) {
    timeout_timer_.arm_after(4 * frame_ns());
  } else {
    timeout_timer_.disarm();
  }
}

void Uart16550::clear_receiver() {
  received_.clear();
  restart_timeout();
  schedule_reception();
}

// --- registers ----------------------------------------------------------------------------------

uint8_t Uart16550::read_port(uint32_t offset) {
  const bool divisor_access = lcr_ & kLcrDivisorAccess;
  switch (offset) {
    case kData:
      return divisor_access ? static_cast<uint8_t>(divisor_) : read_rbr();
    case kIer:
      return divisor_access ? static_cast<uint8_t>(divisor_ >> 8) : ier_;
    case kIirFcr:
      return read_iir();
    case kLcr:
      return lcr_;
    case kMcr:
      return mcr_;
    case kLsr:
      return read_lsr();
    case kMsr: {
      const uint8_t value = static_cast<uint8_t>(modem_status_ | modem_deltas_);
      modem_deltas_ = 0;
      update_irq();
      return value;
    }
    default:
      return scratch_;
  }
}

void Uart16550::write_port(uint32_t offset, uint8_t value) {
  const bool divisor_access = lcr_ & kLcrDivisorAccess;
  switch (offset) {
    case kData:
      if (divisor_access) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0xff00) | value);
      } else {
        write_thr(value);
      }
      break;
    case kIer:
      if (divisor_access) {
        divisor_ = static_cast<uint16_t>((divisor_ & 0x00ff) | value << 8);
      } else {
        write_ier(value);
      }
      break;
    case kIirFcr:
      write_fcr(value);
      break;
    case kLcr:
      write_lcr(value);
      break;
    case kMcr:
      write_mcr(value);
      break;
    case kScratch:
      scratch_ = value;
      break;
    default:
      break;  // LSR is for factory tests, MSR's deltas are not writable on this part
  }
}

uint8_t Uart16550::read_rbr() {
  if (received_.empty()) return last_received_;
  last_received_ = received_.front().byte;
  received_.pop_front();
  restart_timeout();
  schedule_reception();
  update_irq();
  return last_received_;
}

uint8_t Uart16550::interrupt_id() const {
  const bool line_error = overrun_ || (!received_.empty() && received_.front().errors != 0);
  if ((ier_ & kIerLine) && line_error) return kIirLine;
  if (ier_ & kIerReceived) {
    if (received_.size() >= trigger_level()) return kIirReceived;
    if (timeout_interrupt_) return kIirTimeout;
  }
  if ((ier_ & kIerTransmit) && transmit_interrupt_) return kIirTransmit;
  if ((ier_ & kIerModem) && modem_deltas_ != 0) return kIirModem;
  return kIirNone;
}

uint8_t Uart16550::read_iir() {
  const uint8_t id = interrupt_id();
  if (id == kIirTransmit) {
    transmit_interrupt_ = false;
    update_irq();
  }
  return static_cast<uint8_t>(id | (fifo_enabled() ? 0xc0 : 0));
}

uint8_t Uart16550::read_lsr() {
  uint8_t value = kLsrTransmitterEmpty;
  if (overrun_) value |= kLsrOverrun;
  if (!received_.empty()) {
    value |= kLsrDataReady;
    value |= received_.front().errors;
    for (const Received& item : received_) {
      if (fifo_enabled() && item.errors != 0) value |= kLsrErrorInFifo;
    }
    // Reading reports the errors of the byte that is next; the byte itself stays.
    received_.front().errors = 0;
  }
  overrun_ = false;
  update_irq();
  return value;
}

void Uart16550::write_thr(uint8_t byte) {
  // The request goes away with the write and comes back as the byte leaves: drivers wait for that edge.
  transmit_interrupt_ = false;
  update_irq();
  if (loopback()) {
    push_received({byte, 0});
  } else {
    backend_.write({&byte, 1});
  }
  transmit_interrupt_ = true;
  update_irq();
}

void Uart16550::write_ier(uint8_t value) {
  value &= 0x0f;
  // Enabling the transmit interrupt while the transmitter is empty raises it at once.
  if (value & ~ier_ & kIerTransmit) transmit_interrupt_ = true;
  ier_ = value;
  update_irq();
}

void Uart16550::write_fcr(uint8_t value) {
  const bool toggled = (value ^ fcr_) & 1;
  // The other bits are only taken while bit 0 is set.
  fcr_ = value & 1 ? value & 0xc9 : 0;
  if (toggled || (value & 1 && value & kFcrClearReceiver)) clear_receiver();
  update_irq();
}

void Uart16550::write_lcr(uint8_t value) {
  const bool break_begins = value & ~lcr_ & kLcrBreak;
  lcr_ = value;
  if (break_begins && loopback()) push_received({0, kLsrBreak});
}

void Uart16550::write_mcr(uint8_t value) {
  mcr_ = value & 0x1f;
  update_modem_status();
  schedule_reception();
}

// --- modem lines and interrupt ------------------------------------------------------------------

uint8_t Uart16550::modem_inputs() const {
  if (!loopback()) return modem_lines_;
  return static_cast<uint8_t>((mcr_ & 0x02 ? kMsrCts : 0) | (mcr_ & 0x01 ? kMsrDsr : 0) |
                              (mcr_ & 0x04 ? kMsrRi : 0) | (mcr_ & kMcrOut2 ? kMsrDcd : 0));
}

void Uart16550::set_modem_inputs(uint8_t msr_bits) {
  modem_lines_ = msr_bits & 0xf0;
  update_modem_status();
}

void Uart16550::update_modem_status() {
  const uint8_t inputs = modem_inputs();
  const uint8_t changed = inputs ^ modem_status_;
  modem_deltas_ |= static_cast<uint8_t>((changed & (kMsrCts | kMsrDsr | kMsrDcd)) >> 4);
  // For the ring indicator only its end counts.
  if (changed & ~inputs & kMsrRi) modem_deltas_ |= kMsrRi >> 4;
  modem_status_ = inputs;
  update_irq();
}

void Uart16550::update_irq() {
  // On a PC's serial card the OUT2 pin enables the driver of the interrupt line.
  irq_.set((mcr_ & kMcrOut2) && interrupt_id() != kIirNone);
}

void Uart16550::reset() {
  received_.clear();
  divisor_ = 12;
  ier_ = 0;
  fcr_ = 0;
  lcr_ = 0;
  mcr_ = 0;
  overrun_ = false;
  transmit_interrupt_ = false;
  timeout_interrupt_ = false;
  modem_status_ = modem_inputs();
  modem_deltas_ = 0;
  timeout_timer_.disarm();
  reception_timer_.disarm();
  next_reception_ = 0;
  input_waiting_ = true;
  schedule_reception();
  update_irq();
}

void Uart16550::state(StateArchive& ar) {
  ar.field("received", received_);
  ar.field("divisor", divisor_);
  ar.field("ier", ier_);
  ar.field("fcr", fcr_);
  ar.field("lcr", lcr_);
  ar.field("mcr", mcr_);
  ar.field("scratch", scratch_);
  ar.field("modem_lines", modem_lines_);
  ar.field("modem_status", modem_status_);
  ar.field("modem_deltas", modem_deltas_);
  ar.field("last_received", last_received_);
  ar.field("overrun", overrun_);
  ar.field("transmit_interrupt", transmit_interrupt_);
  ar.field("timeout_interrupt", timeout_interrupt_);
  ar.field("input_waiting", input_waiting_);
  ar.field("next_reception", next_reception_);
  ar.field("reception_timer", reception_timer_);
  ar.field("timeout_timer", timeout_timer_);
  ar.field("irq", irq_);
}

}  // namespace vireo
