#include "core/io_bus.h"

#include <utility>

#include "core/check.h"
#include "core/log.h"

namespace vireo {

IoBus::IoBus() : mapping_of_port_(kPorts, 0), mappings_(1) {}

void IoBus::map(uint16_t base, uint32_t count, IoRegion& region, std::string name) {
  CHECK(count > 0 && base + count <= kPorts);
  CHECK(is_free(base, count));
  size_t index = 1;
  while (index < mappings_.size() && mappings_[index].region != nullptr) ++index;
  if (index == mappings_.size()) mappings_.emplace_back();
  mappings_[index] = {base, count, &region, std::move(name)};
  for (uint32_t port = base; port < base + count; ++port)
    mapping_of_port_[port] = static_cast<uint16_t>(index);
}

void IoBus::unmap(uint16_t base) {
  const uint16_t index = mapping_of_port_[base];
  CHECK(index != 0 && mappings_[index].base == base);
  Mapping& mapping = mappings_[index];
  for (uint32_t port = base; port < base + mapping.count; ++port) mapping_of_port_[port] = 0;
  mapping = {};
}

bool IoBus::is_free(uint16_t base, uint32_t count) const {
  for (uint32_t port = base; port < base + count; ++port) {
    if (port >= kPorts || mapping_of_port_[port] != 0) return false;
  }
  return true;
}

uint32_t IoBus::read(uint16_t port, unsigned size) {
  if (replay_ != nullptr) {
    if (const auto made = replay_->take_read(DeviceAccess::Space::kPorts, port, size))
      return static_cast<uint32_t>(*made);
  }
  const uint32_t all_ones = size == 4 ? ~0u : (1u << (8 * size)) - 1;
  const Mapping& mapping = mappings_[mapping_of_port_[port]];
  if (mapping.region != nullptr && port + size <= mapping.base + mapping.count) {
    const TimeScope scope(time_, TimeLedger::Component::kDevices);
    const uint32_t value =
        static_cast<uint32_t>(mapping.region->read(static_cast<uint32_t>(port - mapping.base), size)) &
        all_ones;
    return value;
  }
  if (size == 1) {
    guest_error(LogCategory::kIo, "read of unclaimed port {:#06x}", port);
    return all_ones;
  }
  uint32_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= read(static_cast<uint16_t>(port + i), 1) << (8 * i);
  return value;
}

void IoBus::write(uint16_t port, unsigned size, uint32_t value) {
  if (size < 4) value &= (1u << (8 * size)) - 1;
  if (replay_ != nullptr && replay_->take_write(DeviceAccess::Space::kPorts, port, size, value)) return;
  const Mapping& mapping = mappings_[mapping_of_port_[port]];
  if (mapping.region != nullptr && port + size <= mapping.base + mapping.count) {
    const TimeScope scope(time_, TimeLedger::Component::kDevices);
    mapping.region->write(static_cast<uint32_t>(port - mapping.base), size, value);
    return;
  }
  if (size == 1) {
    guest_error(LogCategory::kIo, "write of {:#04x} to unclaimed port {:#06x}", value, port);
    return;
  }
  for (unsigned i = 0; i < size; ++i) write(static_cast<uint16_t>(port + i), 1, value >> (8 * i));
}

}  // namespace vireo
