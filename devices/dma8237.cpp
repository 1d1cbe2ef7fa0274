#include "devices/dma8237.h"

#include <algorithm>

#include "core/check.h"
#include "core/log.h"

namespace vireo {

namespace {

constexpr unsigned kCascadeChannel = 4;
// Where the page registers of the channels stand; the other bytes of the block are plain storage.
constexpr std::array<uint8_t, 8> kPageOfChannel = {0x7, 0x3, 0x1, 0x2, 0xf, 0xb, 0x9, 0xa};

constexpr uint8_t bit(unsigned n) {
  return static_cast<uint8_t>(1u << n);
}

void assign_bit(uint8_t& bits, unsigned n, bool value) {
  bits = static_cast<uint8_t>(value ? bits | bit(n) : bits & ~bit(n));
}

}  // namespace

// --- one controller -------------------------------------------------------------------------------

uint8_t Dma8237::read(unsigned reg) {
  if (reg < 8) {
    const Channel& channel = channels_[reg >> 1];
    const uint16_t value = reg & 1 ? channel.count : channel.address;
    const bool high = high_byte_next_;
    high_byte_next_ = !high_byte_next_;
    return static_cast<uint8_t>(high ? value >> 8 : value);
  }
  switch (reg) {
    case 8: {
      const uint8_t status = static_cast<uint8_t>(terminal_ | request_ << 4);
      terminal_ = 0;
      return status;
    }
    case 13:
      return temporary_;
    case 15:
      return mask_ | 0xf0;
    default:
      return 0xff;
  }
}

void Dma8237::write(unsigned reg, uint8_t value) {
  if (reg < 8) {
    Channel& channel = channels_[reg >> 1];
    uint16_t& base = reg & 1 ? channel.base_count : channel.base_address;
    uint16_t& current = reg & 1 ? channel.count : channel.address;
    base = static_cast<uint16_t>(high_byte_next_ ? (base & 0x00ff) | value << 8 : (base & 0xff00) | value);
    current = base;
    high_byte_next_ = !high_byte_next_;
    return;
  }
  switch (reg) {
    case 8:
      command_ = value;
      break;
    case 9:
      assign_bit(request_, value & 3, value & 4);
      break;
    case 10:
      assign_bit(mask_, value & 3, value & 4);
      break;
    case 11:
      channels_[value & 3].mode_register = value & 0xfc;
      break;
    case 12:
      high_byte_next_ = false;
      break;
    case 13:  // master clear; addresses, counts and modes stay
      command_ = 0;
      request_ = 0;
      terminal_ = 0;
      temporary_ = 0;
      high_byte_next_ = false;
      mask_ = 0xf;
      break;
    case 14:
      mask_ = 0;
      break;
    default:
      mask_ = value & 0xf;
      break;
  }
}

void Dma8237::reach_terminal_count(unsigned n) {
  Channel& channel = channels_[n];
  terminal_ |= bit(n);
  assign_bit(request_, n, false);
  if (channel.auto_initialise()) {
    channel.address = channel.base_address;
    channel.count = channel.base_count;
  } else {
    mask_ |= bit(n);
  }
}

void Dma8237::reset() {
  channels_ = {};
  write(13, 0);
}

void Dma8237::Channel::state(StateArchive& ar) {
  ar.field("base_address", base_address);
  ar.field("base_count", base_count);
  ar.field("address", address);
  ar.field("count", count);
  ar.field("mode_register", mode_register);
}

void Dma8237::state(StateArchive& ar) {
  ar.fields("channel", channels_);
  ar.field("command", command_);
  ar.field("mask", mask_);
  ar.field("request", request_);
  ar.field("terminal", terminal_);
  ar.field("temporary", temporary_);
  ar.field("high_byte_next", high_byte_next_);
}

// --- the pair -------------------------------------------------------------------------------------

Dma8237Pair::Dma8237Pair(GuestMemory& memory)
    : memory_(memory), pins_{Pin{*this, 0}, Pin{*this, 1}, Pin{*this, 2}, Pin{*this, 3},
                             Pin{*this, 4}, Pin{*this, 5}, Pin{*this, 6}, Pin{*this, 7}} {}

DmaChannel& Dma8237Pair::channel(unsigned n) {
  CHECK(n < pins_.size() && n != kCascadeChannel);
  return pins_[n];
}

DmaChannel::Moved Dma8237Pair::Pin::to_memory(std::span<const uint8_t> bytes) {
  return pair_.transfer(number_, Dma8237::Type::kWriteMemory, bytes, {});
}

DmaChannel::Moved Dma8237Pair::Pin::from_memory(std::span<uint8_t> bytes) {
  return pair_.transfer(number_, Dma8237::Type::kReadMemory, {}, bytes);
}

DmaChannel::Moved Dma8237Pair::transfer(unsigned n, Dma8237::Type direction,
                                        std::span<const uint8_t> from_device, std::span<uint8_t> to_device) {
  Dma8237& controller = controllers_[n / 4];
  Dma8237::Channel& channel = controller.channel(n % 4);
  const bool verify = channel.type() == Dma8237::Type::kVerify;
  DmaChannel::Moved moved;
  if (controller.masked(n % 4) || !controller.enabled()) return moved;
  if (!verify && channel.type() != direction) {
    guest_error(LogCategory::kDma, "channel {}: programmed for the other direction (mode {:#04x})", n,
                channel.mode_register);
    return moved;
  }
  // The second controller's address and count are in words; its page register's bit 0 is not used.
  const unsigned unit = n < 4 ? 1 : 2;
  const uint64_t page = pages_[kPageOfChannel[n]];
  const uint64_t base = unit == 1 ? page << 16 : (page & 0xfe) << 16;
  const size_t size = from_device.size() + to_device.size();
  while (!moved.terminal_count && moved.bytes + unit <= size) {
    const Gpa address{base + uint64_t{channel.address} * unit};
    if (direction == Dma8237::Type::kWriteMemory) {
      if (!verify) memory_.write(address, from_device.subspan(moved.bytes, unit));
    } else {
      const auto target = to_device.subspan(moved.bytes, unit);
      if (verify) {
        std::fill(target.begin(), target.end(), uint8_t{0});
      } else {
        memory_.read(address, target);
      }
    }
    moved.bytes += unit;
    // The page register does not take part in counting: the address wraps inside its 64 Ki units.
    channel.address = static_cast<uint16_t>(channel.address + (channel.decrement() ? -1 : 1));
    if (channel.count-- == 0) {
      controller.reach_terminal_count(n % 4);
      moved.terminal_count = true;
    }
  }
  return moved;
}

void Dma8237Pair::reset() {
  for (Dma8237& controller : controllers_) controller.reset();
  pages_ = {};
}

void Dma8237Pair::state(StateArchive& ar) {
  ar.fields("controller", controllers_);
  ar.field("pages", pages_);
}

}  // namespace vireo
