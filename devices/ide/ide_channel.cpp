#include "devices/ide/ide_channel.h"

#include "core/check.h"

namespace vireo {

namespace {

constexpr uint8_t kDeviceBit = 0x10;
constexpr uint8_t kNoInterrupt = 0x02, kSoftwareReset = 0x04, kHighOrderByte = 0x80;
constexpr uint8_t kExecuteDiagnostic = 0x90;
constexpr uint8_t kFloating = 0xff;
// DD7 has a pull-down on the host side, so that an empty channel does not look busy (ATA-3, 4.3).
constexpr uint8_t kFloatingStatus = 0x7f;

}  // namespace

IdeChannel::IdeChannel(IrqLine irq, IdeDma& dma, std::function<void()> dma_requested)
    : irq_(std::move(irq)), dma_(dma), dma_requested_(std::move(dma_requested)) {}

void IdeChannel::attach(unsigned unit, std::unique_ptr<AtaDevice> drive) {
  CHECK(unit < drives_.size() && drives_[unit] == nullptr);
  drive->connect(*this, unit);
  drives_[unit] = std::move(drive);
}

AtaDevice* IdeChannel::responding() const {
  return selected() != nullptr ? selected() : drives_[0].get();
}

uint8_t IdeChannel::status() const {
  if (selected() != nullptr) return selected()->status();
  // A master that answers for an absent slave gives 0; an absent master leaves the bus to the pull-ups.
  return selected_ == 1 && drives_[0] != nullptr ? 0 : kFloatingStatus;
}

uint8_t IdeChannel::read_byte(unsigned reg) {
  if (reg == AtaDevice::kStatusCommand) {
    const uint8_t value = status();
    if (selected() != nullptr) selected()->acknowledge_interrupt();
    return value;
  }
  const AtaDevice* drive = responding();
  if (drive == nullptr) return kFloating;
  return drive->read_register(reg, (control_ & kHighOrderByte) != 0);
}

void IdeChannel::write_byte(unsigned reg, uint8_t value) {
  if (reg == AtaDevice::kStatusCommand) {
    if (value == kExecuteDiagnostic) {
      for (auto& drive : drives_) {
        if (drive) drive->diagnose();
      }
      selected_ = 0;
      interrupt_changed();
    } else if (selected() != nullptr) {
      selected()->command(value);
    }
    return;
  }
  control_ &= static_cast<uint8_t>(~kHighOrderByte);  // ATA/ATAPI-6, 7.8: any command block write clears HOB
  for (auto& drive : drives_) {
    if (drive) drive->write_register(reg, value);
  }
  if (reg == AtaDevice::kDevice) {
    selected_ = (value & kDeviceBit) != 0 ? 1 : 0;
    interrupt_changed();
  }
}

uint64_t IdeChannel::read_command_block(uint32_t offset, unsigned size) {
  const uint64_t floating = size == 4 ? 0xffffffff : (1u << (8 * size)) - 1;
  if (!enabled_) return floating;
  if (offset == 0) return selected() != nullptr ? selected()->read_data(size) : floating;
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= uint64_t{read_byte(offset + i)} << (8 * i);
  return value;
}

void IdeChannel::write_command_block(uint32_t offset, unsigned size, uint64_t value) {
  if (!enabled_) return;
  if (offset == 0) {
    if (selected() != nullptr) selected()->write_data(size, static_cast<uint32_t>(value));
    return;
  }
  for (unsigned i = 0; i < size; ++i) write_byte(offset + i, static_cast<uint8_t>(value >> (8 * i)));
}

uint64_t IdeChannel::read_control_block(uint32_t, unsigned) {
  return enabled_ ? status() : kFloating;
}

void IdeChannel::write_control_block(uint32_t, unsigned, uint64_t value) {
  if (!enabled_) return;
  const uint8_t old = control_;
  control_ = static_cast<uint8_t>(value);
  if (((old ^ control_) & kSoftwareReset) != 0) {
    const bool asserted = (control_ & kSoftwareReset) != 0;
    for (auto& drive : drives_) {
      if (drive) drive->set_software_reset(asserted);
    }
    if (asserted) selected_ = 0;
  }
  interrupt_changed();
}

void IdeChannel::interrupt_changed() {
  irq_.set(selected() != nullptr && selected()->interrupt() && (control_ & kNoInterrupt) == 0);
}

void IdeChannel::dma_requested() {
  if (dma_requested_) dma_requested_();
}

void IdeChannel::dma_start() {
  // Only the selected drive may drive DMARQ.
  if (selected() != nullptr) selected()->dma_start();
}

void IdeChannel::dma_stop() {
  for (auto& drive : drives_) {
    if (drive) drive->dma_stop();
  }
}

void IdeChannel::reset() {
  selected_ = 0;
  control_ = 0;
  for (auto& drive : drives_) {
    if (drive) drive->hardware_reset();
  }
  interrupt_changed();
}

void IdeChannel::state(StateArchive& ar) {
  ar.field("irq", irq_);
  ar.field("selected", selected_);
  ar.field("control", control_);
  ar.field("enabled", enabled_);
  if (ar.loading() && selected_ > 1) throw StateError("IDE drive selection out of range");
  for (unsigned unit = 0; unit < drives_.size(); ++unit) {
    bool there = drives_[unit] != nullptr;
    ar.field(unit == 0 ? "master_there" : "slave_there", there);
    if (there != (drives_[unit] != nullptr)) throw StateError("the state was saved with other IDE drives");
    if (there) ar.field(unit == 0 ? "master" : "slave", *drives_[unit]);
  }
}

}  // namespace vireo
