#include "devices/pci.h"

#include <bit>
#include <utility>

#include "core/check.h"
#include "core/log.h"

namespace vireo {

namespace {

constexpr uint8_t kCommand = 0x04;
constexpr uint8_t kBar0 = 0x10;
constexpr uint8_t kRomAddress = 0x30;
constexpr uint8_t kInterruptLine = 0x3c;

constexpr uint16_t kCommandIo = 1;
constexpr uint16_t kCommandMemory = 2;
/// I/O, memory, bus master, parity response, SERR#.
constexpr uint16_t kCommandWritable = 0x0147;

constexpr uint32_t kBarIo = 1;
constexpr uint32_t kRomEnable = 1;

constexpr uint32_t kConfigEnable = 1u << 31;

uint32_t load(std::span<const uint8_t> bytes, unsigned size) {
  uint32_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= static_cast<uint32_t>(bytes[i]) << (8 * i);
  return value;
}

void store(std::span<uint8_t> bytes, unsigned size, uint32_t value) {
  for (unsigned i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
}

}  // namespace

PciFunction::PciFunction(const PciIdentity& identity) {
  define_register(0x00, 2, identity.vendor, 0);
  define_register(0x02, 2, identity.device, 0);
  define_register(kCommand, 2, 0, kCommandWritable);
  define_register(0x08, 1, identity.revision, 0);
  define_register(0x09, 1, identity.class_code, 0);
  define_register(0x0a, 2, identity.class_code >> 8, 0);
  define_register(0x0c, 2, 0, 0xffff);  // cache line size, latency timer
  define_register(0x0e, 1, identity.header_type, 0);
  define_register(0x2c, 2, identity.subsystem_vendor, 0);
  define_register(0x2e, 2, identity.subsystem, 0);
  define_register(kInterruptLine, 1, 0, identity.interrupt_pin != 0 ? 0xff : 0);
  define_register(0x3d, 1, identity.interrupt_pin, 0);
}

void PciFunction::define_register(uint8_t offset, unsigned size, uint32_t reset_value, uint32_t write_mask) {
  CHECK(offset + size <= config_.size());
  store(std::span(reset_config_).subspan(offset), size, reset_value);
  store(std::span(config_).subspan(offset), size, reset_value);
  store(std::span(write_mask_).subspan(offset), size, write_mask);
}

void PciFunction::add_bar(unsigned index, const Bar& bar) {
  CHECK(index <= kRomBar && bars_[index].size == 0 && std::has_single_bit(bar.size));
  CHECK(bar.size >= (bar.kind == Bar::Kind::kIo ? 4 : kPageSize));
  bars_[index] = bar;
  Bar& added = bars_[index];
  added.offset = static_cast<uint8_t>(index == kRomBar ? kRomAddress : kBar0 + 4 * index);
  const uint32_t type_bits = bar.kind == Bar::Kind::kIo ? kBarIo : 0;
  const uint32_t enable = bar.kind == Bar::Kind::kRom ? kRomEnable : 0;
  define_register(added.offset, 4, type_bits, ~(bar.size - 1) | enable);
}

void PciFunction::add_io_bar(unsigned index, uint32_t size, IoRegion& region) {
  add_bar(index, {.kind = Bar::Kind::kIo, .size = size, .region = &region});
}

void PciFunction::add_mmio_bar(unsigned index, uint32_t size, IoRegion& region) {
  add_bar(index, {.kind = Bar::Kind::kMmio, .size = size, .region = &region});
}

void PciFunction::add_rom(std::span<uint8_t> rom) {
  add_bar(kRomBar, {.kind = Bar::Kind::kRom, .size = static_cast<uint32_t>(rom.size()), .host = rom.data()});
}

uint32_t PciFunction::config_read(uint8_t offset, unsigned size) {
  return load(std::span(config_).subspan(offset), size);
}

void PciFunction::config_write(uint8_t offset, unsigned size, uint32_t value) {
  for (unsigned i = 0; i < size; ++i) {
    const uint8_t mask = write_mask_[offset + i];
    const uint8_t byte = static_cast<uint8_t>(value >> (8 * i));
    config_[offset + i] = static_cast<uint8_t>((config_[offset + i] & ~mask) | (byte & mask));
  }
  const bool decoding_register = (offset & ~3) == kCommand || (offset >= kBar0 && offset < kRomAddress + 4);
  if (decoding_register && bus_ != nullptr) bus_->update_mappings();
}

std::optional<uint32_t> PciFunction::decoded_address(const Bar& bar) const {
  if (bar.size == 0) return std::nullopt;
  const uint32_t value = load(std::span(config_).subspan(bar.offset), 4);
  const uint32_t address = value & ~(bar.size - 1);
  const bool io = bar.kind == Bar::Kind::kIo;
  if ((command() & (io ? kCommandIo : kCommandMemory)) == 0) return std::nullopt;
  if (bar.kind == Bar::Kind::kRom && (value & kRomEnable) == 0) return std::nullopt;
  if (address == 0 || (io && address > IoBus::kPorts - bar.size)) return std::nullopt;
  return address;
}

void PciFunction::unmap_moved_bars() {
  for (Bar& bar : bars_) {
    if (!bar.mapped || decoded_address(bar) == bar.mapped_at) continue;
    if (bar.kind == Bar::Kind::kIo) {
      bus_->ports_.unmap(static_cast<uint16_t>(bar.mapped_at));
    } else {
      bus_->memory_.unmap({bar.mapped_at});
    }
    bar.mapped = false;
  }
}

void PciFunction::map_decoded_bars() {
  const std::string name =
      fmt::format("pci {:04x}:{:04x}", load(config_, 2), load(std::span(config_).subspan(2), 2));
  for (Bar& bar : bars_) {
    const std::optional<uint32_t> address = decoded_address(bar);
    if (bar.mapped || !address) continue;
    // Guests park BARs over other things while they size them; such a BAR waits until its place is free.
    const bool io = bar.kind == Bar::Kind::kIo;
    if (!(io ? bus_->ports_.is_free(static_cast<uint16_t>(*address), bar.size)
             : bus_->memory_.is_free({*address}, bar.size))) {
      trace(LogCategory::kPci, "{}: BAR at {:#x} of {:#x} bytes lies over something else", name, *address,
            bar.size);
      continue;
    }
    trace(LogCategory::kPci, "{}: {} BAR mapped at {:#x}, {:#x} bytes", name, io ? "I/O" : "memory", *address,
          bar.size);
    switch (bar.kind) {
      case Bar::Kind::kIo:
        bus_->ports_.map(static_cast<uint16_t>(*address), bar.size, *bar.region, name);
        break;
      case Bar::Kind::kMmio:
        bus_->memory_.map_mmio({*address}, bar.size, *bar.region, name);
        break;
      case Bar::Kind::kRom:
        bus_->memory_.map_rom({*address}, {bar.host, bar.size}, name);
        break;
    }
    bar.mapped = true;
    bar.mapped_at = *address;
  }
}

void PciFunction::reset_config() {
  config_ = reset_config_;
  interrupt_.lower();
  if (bus_ != nullptr) bus_->update_mappings();
}

void PciFunction::config_state(StateArchive& ar) {
  ar.field("config", config_);
  ar.field("interrupt", interrupt_);
  if (ar.loading() && bus_ != nullptr) bus_->update_mappings();
}

PciBus::PciBus(IoBus& ports, GuestMemory& memory, std::function<void(unsigned, unsigned, bool)> intx)
    : ports_(ports), memory_(memory), intx_(std::move(intx)) {}

void PciBus::attach(unsigned slot, unsigned function, PciFunction& pci_function) {
  CHECK(slot < 32 && function < 8 && functions_[slot][function] == nullptr && pci_function.bus_ == nullptr);
  functions_[slot][function] = &pci_function;
  pci_function.bus_ = this;
  if (const uint8_t pin = pci_function.config_[0x3d]; pin != 0) {
    pci_function.interrupt_ = IrqLine([this, slot, pin](bool) { interrupt_changed(slot, pin - 1u); });
  }
}

void PciBus::interrupt_changed(unsigned slot, unsigned pin) {
  bool level = false;
  for (const PciFunction* f : functions_[slot]) {
    if (f != nullptr && f->config_[0x3d] == pin + 1) level |= f->interrupt_.level();
  }
  intx_(slot, pin, level);
}

void PciBus::update_mappings() {
  for (auto& slot : functions_) {
    for (PciFunction* f : slot) {
      if (f != nullptr) f->unmap_moved_bars();
    }
  }
  for (auto& slot : functions_) {
    for (PciFunction* f : slot) {
      if (f != nullptr) f->map_decoded_bars();
    }
  }
}

PciFunction* PciBus::selected() const {
  const bool bus0 = (address_ & kConfigEnable) != 0 && (address_ >> 16 & 0xff) == 0;
  return bus0 ? functions_[address_ >> 11 & 31][address_ >> 8 & 7] : nullptr;
}

uint64_t PciBus::read(uint32_t offset, unsigned size) {
  if (offset < 4) {
    if (offset == 0 && size == 4) return address_;
    return narrow_ != nullptr ? narrow_->read(offset, size) : ~uint64_t{0};
  }
  // The data port's byte lanes select the bytes; lanes beyond the dword do not exist.
  PciFunction* f = selected();
  if (f == nullptr || (offset & 3) + size > 4) return ~uint64_t{0};
  return f->config_read(static_cast<uint8_t>((address_ & 0xfc) | (offset & 3)), size);
}

void PciBus::write(uint32_t offset, unsigned size, uint64_t value) {
  if (offset < 4) {
    if (offset == 0 && size == 4) {
      address_ = static_cast<uint32_t>(value) & 0x80fffffc;
    } else if (narrow_ != nullptr) {
      narrow_->write(offset, size, value);
    }
    return;
  }
  PciFunction* f = selected();
  if (f == nullptr || (offset & 3) + size > 4) return;
  f->config_write(static_cast<uint8_t>((address_ & 0xfc) | (offset & 3)), size, static_cast<uint32_t>(value));
}

void PciBus::reset() {
  address_ = 0;
}

void PciBus::state(StateArchive& ar) {
  ar.field("address", address_);
}

}  // namespace vireo
