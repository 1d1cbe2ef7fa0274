#include "devices/fw_cfg.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "core/check.h"
#include "core/log.h"

namespace vireo {

namespace {

constexpr uint16_t kSignature = 0x00;
constexpr uint16_t kId = 0x01;
constexpr uint16_t kFileDirectory = 0x19;
constexpr uint16_t kFirstFile = 0x20;
constexpr uint32_t kIdTraditional = 1;
constexpr uint32_t kIdDma = 2;

constexpr size_t kFileNameBytes = 56;
constexpr uint64_t kDmaSignature = 0x51454d5520434647;  // "QEMU CFG"

// DMA command, control field.
constexpr uint32_t kDmaError = 1;
constexpr uint32_t kDmaRead = 2;
constexpr uint32_t kDmaSkip = 4;
constexpr uint32_t kDmaSelect = 8;
constexpr uint32_t kDmaWrite = 16;

template <class T>
T byte_swapped(T value) {
  T swapped = 0;
  for (unsigned i = 0; i < sizeof(T); ++i) swapped = static_cast<T>(swapped << 8 | (value >> (8 * i) & 0xff));
  return swapped;
}

template <class T>
void append(std::vector<uint8_t>& out, T value) {
  for (unsigned i = 0; i < sizeof(T); ++i) out.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

template <class T>
std::vector<uint8_t> little_endian(T value) {
  std::vector<uint8_t> bytes;
  append(bytes, value);
  return bytes;
}

}  // namespace

FwCfg::FwCfg(GuestMemory& memory) : memory_(memory) {
  add_item(kSignature, {'Q', 'E', 'M', 'U'});
  add_u32(kId, kIdTraditional | kIdDma);
  add_item(kFileDirectory, std::vector<uint8_t>(4, 0));
}

void FwCfg::add_item(uint16_t key, std::vector<uint8_t> bytes) {
  const bool added = items_.try_emplace(key, Item{std::move(bytes), false, nullptr}).second;
  CHECK(added);
}

void FwCfg::add_u16(uint16_t key, uint16_t value) {
  add_item(key, little_endian(value));
}
void FwCfg::add_u32(uint16_t key, uint32_t value) {
  add_item(key, little_endian(value));
}
void FwCfg::add_u64(uint16_t key, uint64_t value) {
  add_item(key, little_endian(value));
}

void FwCfg::add_string(uint16_t key, std::string_view text) {
  std::vector<uint8_t> bytes(text.begin(), text.end());
  bytes.push_back(0);
  add_item(key, std::move(bytes));
}

FwCfg::Item& FwCfg::add_file_item(std::string name, std::vector<uint8_t> bytes) {
  CHECK(name.size() < kFileNameBytes);
  CHECK(std::find(file_names_.begin(), file_names_.end(), name) == file_names_.end());
  const uint16_t key = static_cast<uint16_t>(kFirstFile + file_names_.size());

  // The directory is big-endian: a count, then size, key, 16 reserved bits and the name of each file.
  std::vector<uint8_t>& directory = items_.at(kFileDirectory).bytes;
  append(directory, byte_swapped(static_cast<uint32_t>(bytes.size())));
  append(directory, byte_swapped(key));
  append(directory, uint16_t{0});
  directory.insert(directory.end(), name.begin(), name.end());
  directory.resize(directory.size() + kFileNameBytes - name.size());
  file_names_.push_back(std::move(name));
  const std::vector<uint8_t> count = little_endian(byte_swapped(static_cast<uint32_t>(file_names_.size())));
  std::copy(count.begin(), count.end(), directory.begin());

  add_item(key, std::move(bytes));
  return items_.at(key);
}

void FwCfg::add_file(std::string name, std::vector<uint8_t> bytes) {
  add_file_item(std::move(name), std::move(bytes));
}

void FwCfg::add_writable_file(std::string name, std::vector<uint8_t> bytes,
                              std::function<void(std::span<const uint8_t>)> written) {
  Item& item = add_file_item(std::move(name), std::move(bytes));
  item.writable = true;
  item.written = std::move(written);
}

void FwCfg::reset() {
  select(0);
  dma_address_high_ = 0;
}

void FwCfg::state(StateArchive& ar) {
  ar.field("selected", selected_);
  ar.field("position", position_);
  ar.field("dma_address_high", dma_address_high_);
  for (auto& [key, item] : items_) {
    if (item.writable) ar.raw("item" + std::to_string(key), item.bytes);
  }
}

void FwCfg::select(uint16_t key) {
  selected_ = key;
  position_ = 0;
}

uint8_t FwCfg::next_byte() {
  const auto found = items_.find(selected_);
  if (found == items_.end() || position_ >= found->second.bytes.size()) return 0;
  return found->second.bytes[position_++];
}

uint64_t FwCfg::read_ports(uint32_t offset, unsigned size) {
  return offset == 1 && size == 1 ? next_byte() : 0;
}

void FwCfg::write_ports(uint32_t offset, unsigned size, uint64_t value) {
  if (offset == 0 && size == 2) {
    select(static_cast<uint16_t>(value));
  } else {
    guest_error(LogCategory::kFirmware, "fw_cfg: {}-byte write at port offset {}", size, offset);
  }
}

uint64_t FwCfg::read_dma(uint32_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) value |= (kDmaSignature >> (8 * (7 - offset - i)) & 0xff) << (8 * i);
  return value;
}

void FwCfg::write_dma(uint32_t offset, unsigned size, uint64_t value) {
  if (offset == 0 && size == 4) {
    dma_address_high_ = byte_swapped(static_cast<uint32_t>(value));
  } else if (offset == 4 && size == 4) {
    const uint64_t high = std::exchange(dma_address_high_, 0);
    run_dma({high << 32 | byte_swapped(static_cast<uint32_t>(value))});
  } else {
    guest_error(LogCategory::kFirmware, "fw_cfg: {}-byte write at DMA offset {}", size, offset);
  }
}

void FwCfg::run_dma(Gpa command) {
  // Command in guest memory, big-endian: control (with the key in its high half), length, address.
  uint32_t control = byte_swapped(memory_.read_value<uint32_t>(command));
  uint32_t length = byte_swapped(memory_.read_value<uint32_t>(command + 4));
  Gpa address{byte_swapped(memory_.read_value<uint64_t>(command + 8))};
  if ((control & kDmaSelect) != 0) select(static_cast<uint16_t>(control >> 16));

  const auto found = items_.find(selected_);
  Item* item = found != items_.end() ? &found->second : nullptr;
  const uint32_t left = item != nullptr && position_ < item->bytes.size()
                            ? static_cast<uint32_t>(item->bytes.size()) - position_
                            : 0;
  bool ok = true;
  if ((control & kDmaRead) != 0) {
    const uint32_t count = std::min(length, left);
    if (count != 0) ok = memory_.write(address, std::span(item->bytes).subspan(position_, count));
    // Beyond the item's end it reads as zeros.
    static constexpr std::array<uint8_t, kPageSize> kZeros{};
    for (uint32_t at = count; at < length && ok;) {
      const uint32_t chunk = std::min<uint32_t>(length - at, kZeros.size());
      ok = memory_.write(address + at, std::span(kZeros).first(chunk));
      at += chunk;
    }
    position_ += count;
  } else if ((control & kDmaWrite) != 0) {
    ok = item != nullptr && item->writable && length <= left;
    if (ok) {
      ok = memory_.read(address, std::span(item->bytes).subspan(position_, length));
      position_ += length;
      if (item->written) item->written(item->bytes);
    }
  } else if ((control & kDmaSkip) != 0) {
    position_ += std::min(length, left);
  }
  if (!ok) {
    guest_error(LogCategory::kFirmware, "fw_cfg: DMA with control {:#x} on key {:#x} failed", control,
                selected_);
  }
  memory_.write_value<uint32_t>(command, byte_swapped(ok ? 0u : kDmaError));
}

void add_pc_items(FwCfg& fw_cfg, const PcFirmwareConfig& config) {
  constexpr uint64_t k4GiB = uint64_t{1} << 32;
  constexpr uint32_t kE820Ram = 1;
  fw_cfg.add_u64(FwCfg::kRamSize, config.ram_bytes);
  fw_cfg.add_u16(FwCfg::kNoGraphic, 0);
  fw_cfg.add_u16(FwCfg::kCpus, 1);
  fw_cfg.add_u16(FwCfg::kMaxCpus, 1);
  fw_cfg.add_u64(FwCfg::kNuma, 0);
  fw_cfg.add_u16(FwCfg::kBootMenu, config.boot_menu ? 1 : 0);
  fw_cfg.add_item(FwCfg::kIrq0Override, {1});

  std::vector<uint8_t> e820;
  const auto add_ram = [&e820](uint64_t start, uint64_t size) {
    append(e820, start);
    append(e820, size);
    append(e820, kE820Ram);
  };
  add_ram(0, config.low_ram_bytes);
  if (config.ram_bytes > config.low_ram_bytes) add_ram(k4GiB, config.ram_bytes - config.low_ram_bytes);
  fw_cfg.add_file("etc/e820", std::move(e820));

  // One byte per sleep state S0 to S5: bit 7 says that the state is offered.
  fw_cfg.add_file("etc/system-states", {0x80, 0, 0, 0x01, 0x02, 0x80});

  if (!config.boot_order.empty()) {
    std::vector<uint8_t> lines;
    for (const std::string& path : config.boot_order) {
      lines.insert(lines.end(), path.begin(), path.end());
      lines.push_back('\n');
    }
    lines.back() = 0;
    fw_cfg.add_file("bootorder", std::move(lines));
  }
}

}  // namespace vireo
