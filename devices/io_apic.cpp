#include "devices/io_apic.h"

#include <utility>

#include "core/check.h"
#include "core/log.h"

namespace vireo {

namespace {

constexpr uint32_t kIndexRegister = 0x00;
constexpr uint32_t kDataWindow = 0x10;

constexpr uint8_t kIdRegister = 0;
constexpr uint8_t kVersionRegister = 1;
constexpr uint8_t kArbitrationRegister = 2;
constexpr uint8_t kFirstRedirection = 0x10;
constexpr uint32_t kVersion = 0x11;

// Redirection entry.
constexpr uint64_t kLogical = 1u << 11;
constexpr uint64_t kDeliveryPending = 1u << 12;
constexpr uint64_t kRemoteIrr = 1u << 14;
constexpr uint64_t kLevelTriggered = 1u << 15;
constexpr uint64_t kMasked = 1u << 16;
constexpr uint64_t kReadOnly = kDeliveryPending | kRemoteIrr;
constexpr uint64_t kDefined = 0xff00'0000'0001'ffff;

}  // namespace

IoApic::IoApic(std::function<bool(const ApicMessage&)> send) : send_(std::move(send)) {
  reset();
}

void IoApic::reset() {
  index_ = 0;
  id_ = 0;
  redirection_.fill(kMasked);
  // pin_levels_ stays: the inputs are other devices' outputs, which reset themselves.
}

void IoApic::state(StateArchive& ar) {
  ar.field("index", index_);
  ar.field("id", id_);
  ar.field("pin_levels", pin_levels_);
  ar.field("redirection", redirection_);
}

void IoApic::set_pin(unsigned pin, bool level) {
  CHECK(pin < kPins);
  const uint32_t bit = 1u << pin;
  const bool rising = level && (pin_levels_ & bit) == 0;
  pin_levels_ = level ? pin_levels_ | bit : pin_levels_ & ~bit;
  if ((redirection_[pin] & kLevelTriggered) != 0) {
    deliver_level(pin);
  } else if (rising && (redirection_[pin] & kMasked) == 0) {
    deliver(pin);  // an edge that comes while masked is lost (82093AA, 3.4.2)
  }
}

void IoApic::deliver(unsigned pin) {
  uint64_t& entry = redirection_[pin];
  const ApicMessage message = {
      .vector = static_cast<uint8_t>(entry),
      .delivery = static_cast<ApicMessage::Delivery>(entry >> 8 & 7),
      .logical = (entry & kLogical) != 0,
      .destination = static_cast<uint8_t>(entry >> 56),
      .level_triggered = (entry & kLevelTriggered) != 0,
  };
  trace(LogCategory::kIrq, "I/O APIC pin {}: vector {:#x}, delivery mode {}, destination {:#x}{}", pin,
        message.vector, static_cast<unsigned>(message.delivery), message.destination,
        message.logical ? " (logical)" : "");
  // Remote IRR first: accepting can lead straight to an EOI.
  const bool tracked =
      message.level_triggered && (message.delivery == ApicMessage::Delivery::kFixed ||
                                  message.delivery == ApicMessage::Delivery::kLowestPriority);
  if (tracked) entry |= kRemoteIrr;
  if (!send_(message)) entry &= ~kRemoteIrr;
}

void IoApic::deliver_level(unsigned pin) {
  const uint64_t entry = redirection_[pin];
  const bool asserted = (pin_levels_ >> pin & 1) != 0;
  if (asserted && (entry & (kMasked | kRemoteIrr)) == 0) deliver(pin);
}

void IoApic::end_of_interrupt(uint8_t vector) {
  for (unsigned pin = 0; pin < kPins; ++pin) {
    uint64_t& entry = redirection_[pin];
    if ((entry & kRemoteIrr) == 0 || static_cast<uint8_t>(entry) != vector) continue;
    entry &= ~kRemoteIrr;
    if ((entry & kLevelTriggered) != 0) deliver_level(pin);
  }
}

uint32_t IoApic::read_register() const {
  switch (index_) {
    case kIdRegister:
    case kArbitrationRegister:
      return id_;
    case kVersionRegister:
      return kVersion | (kPins - 1) << 16;
    default:
      break;
  }
  const unsigned pin = (index_ - kFirstRedirection) / 2u;
  if (index_ < kFirstRedirection || pin >= kPins) return 0;
  return static_cast<uint32_t>(redirection_[pin] >> (32 * (index_ & 1)));
}

void IoApic::write_register(uint32_t value) {
  if (index_ == kIdRegister) id_ = value & 0x0f000000;
  const unsigned pin = (index_ - kFirstRedirection) / 2u;
  if (index_ < kFirstRedirection || pin >= kPins) return;

  uint64_t& entry = redirection_[pin];
  const unsigned shift = 32 * (index_ & 1);
  const uint64_t written = (uint64_t{0xffffffff} << shift) & kDefined & ~kReadOnly;
  entry = (entry & ~written) | (uint64_t{value} << shift & written);
  if ((entry & kLevelTriggered) == 0) {
    // Switching to edge forgets a level being served; Linux clears a stuck remote IRR this way.
    entry &= ~kRemoteIrr;
  } else {
    deliver_level(pin);
  }
}

uint64_t IoApic::read(uint32_t offset, unsigned) {
  if (offset == kIndexRegister) return index_;
  return offset == kDataWindow ? read_register() : 0;
}

void IoApic::write(uint32_t offset, unsigned, uint64_t value) {
  if (offset == kIndexRegister) {
    index_ = static_cast<uint8_t>(value);
  } else if (offset == kDataWindow) {
    write_register(static_cast<uint32_t>(value));
  } else {
    guest_error(LogCategory::kIrq, "I/O APIC: write at offset {:#x}", offset);
  }
}

}  // namespace vireo
