#include "devices/piix3.h"

#include <utility>

namespace vireo {

namespace {

constexpr uint8_t kPirqRoute = 0x60;
constexpr uint8_t kRouteDisabled = 0x80;
/// IRQs 3 to 7, 9 to 12, 14, 15; the others are not available to PCI.
constexpr uint16_t kRoutableIrqs = 0xdef8;

constexpr uint8_t kHardReset = 2;
constexpr uint8_t kResetCpu = 4;

constexpr PciIdentity kIdentity = {.vendor = 0x8086,
                                   .device = 0x7000,
                                   .revision = 0,
                                   .class_code = 0x060100,
                                   .subsystem_vendor = 0x1af4,
                                   .subsystem = 0x1100,
                                   .header_type = 0x80};

}  // namespace

Piix3::Piix3(IrqHub& irqs, std::function<void()> hard_reset, std::function<void()> soft_reset)
    : PciFunction(kIdentity), hard_reset_(std::move(hard_reset)), soft_reset_(std::move(soft_reset)) {
  for (unsigned irq = 0; irq < irq_.size(); ++irq) irq_[irq] = irqs.line(irq);
  define_register(0x04, 2, 0x0007, 0x0108);  // an ISA bridge always decodes
  define_register(0x06, 2, 0x0200, 0);
  define_register(0x4c, 1, 0x4d, 0xff);      // ISA I/O recovery timer
  define_register(0x4e, 2, 0x0003, 0xffff);  // X-bus chip select
  for (unsigned pirq = 0; pirq < kPirqs; ++pirq) {
    define_register(static_cast<uint8_t>(kPirqRoute + pirq), 1, kRouteDisabled, 0x8f);
  }
  define_register(0x69, 1, 0x02, 0xfe);      // top of memory
  define_register(0x70, 2, 0x8080, 0xffff);  // motherboard IRQ routes
  define_register(0x76, 2, 0x0c0c, 0x8787);  // motherboard DMA
  define_register(0x78, 2, 0x0002, 0xffff);
  define_register(0xa0, 1, 0x08, 0xff);  // SMI control and friends: SMM is not offered
  define_register(0xa2, 2, 0, 0xffff);
  define_register(0xa8, 1, 0x0f, 0xff);
}

void Piix3::reset() {
  reset_config();
  high_slots_ = {};
  reset_control_ = 0;
  update_irqs();
}

void Piix3::state(StateArchive& ar) {
  config_state(ar);
  ar.field("high_slots", high_slots_);
  ar.field("reset_control", reset_control_);
  ar.fields("irq", irq_);
}

void Piix3::config_write(uint8_t offset, unsigned size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  if (offset < kPirqRoute + kPirqs && offset + size > kPirqRoute) update_irqs();
}

void Piix3::set_intx(unsigned slot, unsigned pin, bool level) {
  uint32_t& high = high_slots_[(slot + pin - 1) % kPirqs];
  // Two pins of one slot never share a PIRQ, so a bit per slot is enough.
  high = level ? high | 1u << slot : high & ~(1u << slot);
  update_irqs();
}

void Piix3::update_irqs() {
  uint16_t levels = 0;
  for (unsigned pirq = 0; pirq < kPirqs; ++pirq) {
    const uint8_t route = config()[kPirqRoute + pirq];
    if ((route & kRouteDisabled) == 0 && high_slots_[pirq] != 0)
      levels |= static_cast<uint16_t>(1u << (route & 15));
  }
  levels &= kRoutableIrqs;
  for (unsigned irq = 0; irq < irq_.size(); ++irq) irq_[irq].set((levels >> irq & 1) != 0);
}

uint64_t Piix3::read_reset_control(uint32_t offset, unsigned) {
  return offset == 1 ? reset_control_ : 0xff;
}

void Piix3::write_reset_control(uint32_t offset, unsigned, uint64_t value) {
  if (offset != 1) return;
  // The reset happens when bit 2 goes from 0 to 1.
  const bool rising = (value & ~reset_control_ & kResetCpu) != 0;
  reset_control_ = static_cast<uint8_t>(value & kHardReset);
  if (rising) (reset_control_ & kHardReset ? hard_reset_ : soft_reset_)();
}

}  // namespace vireo
