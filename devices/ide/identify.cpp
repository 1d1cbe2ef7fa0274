#include "devices/ide/identify.h"

namespace vireo {

namespace {

constexpr uint8_t kMultiwordModes = 0x07, kUltraModes = 0x3f;
constexpr uint8_t kMaxPioMode = 4;

}  // namespace

std::optional<uint8_t> dma_mode_after(uint8_t mode, uint8_t selected) {
  const uint8_t number = mode & 7;
  switch (mode >> 3) {
    case 0:  // PIO, default
      return number <= 1 ? std::optional(selected) : std::nullopt;
    case 1:  // PIO with flow control
      return number <= kMaxPioMode ? std::optional(selected) : std::nullopt;
    case 4:
      return (kMultiwordModes >> number & 1) != 0 ? std::optional(mode) : std::nullopt;
    case 8:
      return (kUltraModes >> number & 1) != 0 ? std::optional(mode) : std::nullopt;
    default:
      return std::nullopt;
  }
}

void IdentifyData::dword(unsigned index, uint32_t value) {
  words_[index] = static_cast<uint16_t>(value);
  words_[index + 1] = static_cast<uint16_t>(value >> 16);
}

void IdentifyData::text(unsigned index, unsigned words, std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(i < text.size() ? text[i] : ' '); };
  for (size_t i = 0; i < words; ++i)
    words_[index + i] = static_cast<uint16_t>(at(2 * i) << 8 | at(2 * i + 1));
}

void IdentifyData::dma_modes(uint8_t selected) {
  const uint16_t selected_bit = static_cast<uint16_t>(0x100 << (selected & 7));
  const bool ultra = selected >> 3 == 8;
  words_[63] = static_cast<uint16_t>(kMultiwordModes | (ultra ? 0 : selected_bit));
  words_[64] = 3;                                       // PIO modes 3 and 4
  for (unsigned i = 65; i <= 68; ++i) words_[i] = 120;  // ns a cycle
  words_[88] = static_cast<uint16_t>(kUltraModes | (ultra ? selected_bit : 0));
}

void IdentifyData::seal() {
  uint8_t sum = 0xa5;
  for (size_t i = 0; i < 255; ++i) sum = static_cast<uint8_t>(sum + words_[i] + (words_[i] >> 8));
  words_[255] = static_cast<uint16_t>(static_cast<uint8_t>(-sum) << 8 | 0xa5);
}

void IdentifyData::copy_to(std::span<uint8_t> out) const {
  for (size_t i = 0; i < words_.size(); ++i) {
    out[2 * i] = static_cast<uint8_t>(words_[i]);
    out[2 * i + 1] = static_cast<uint8_t>(words_[i] >> 8);
  }
}

}  // namespace vireo
