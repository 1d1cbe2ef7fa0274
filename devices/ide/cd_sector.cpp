#include "devices/ide/cd_sector.h"

#include <algorithm>

namespace vireo {

namespace {

constexpr uint32_t kFramesPerSecond = 75, kSecondsPerMinute = 60, kLeadInFrames = 150;
constexpr size_t kHeader = 12, kEdc = 2064, kIntermediate = 2068, kParityP = 2076, kParityQ = 2248;

constexpr uint8_t bcd(uint8_t value) {
  return static_cast<uint8_t>(value / 10 << 4 | value % 10);
}

/// CRC with (x^16 + x^15 + x^2 + 1)(x^16 + x^2 + x + 1), least significant bit first.
uint32_t error_detection_code(std::span<const uint8_t> bytes) {
  uint32_t crc = 0;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xd8018001 : 0);
  }
  return crc;
}

// GF(2^8) with x^8 + x^4 + x^3 + x^2 + 1.
constexpr uint8_t times_alpha(uint8_t value) {
  return static_cast<uint8_t>(value << 1 ^ ((value & 0x80) != 0 ? 0x1d : 0));
}

constexpr std::array<uint8_t, 256> make_divide_by_one_plus_alpha() {
  std::array<uint8_t, 256> table{};
  for (unsigned i = 0; i < 256; ++i)
    table[i ^ times_alpha(static_cast<uint8_t>(i))] = static_cast<uint8_t>(i);
  return table;
}
constexpr std::array<uint8_t, 256> kDivideByOnePlusAlpha = make_divide_by_one_plus_alpha();

/// Parity of `vectors` interleaved code words of `length` bytes: byte j of word i is at
/// i / 2 * word_step + i % 2 + j * byte_step, modulo the area before the parity. Two parity bytes a word,
/// solved so that both the sum and the sum weighted by powers of alpha vanish.
void add_parity(std::span<const uint8_t> area, uint8_t* parity, size_t vectors, size_t length,
                size_t word_step, size_t byte_step) {
  for (size_t i = 0; i < vectors; ++i) {
    size_t at = i / 2 * word_step + i % 2;
    uint8_t sum = 0, weighted = 0;
    for (size_t j = 0; j < length; ++j) {
      sum ^= area[at];
      weighted = times_alpha(weighted ^ area[at]);
      at = (at + byte_step) % area.size();
    }
    const uint8_t first = kDivideByOnePlusAlpha[times_alpha(weighted) ^ sum];
    parity[i] = first;
    parity[i + vectors] = first ^ sum;
  }
}

}  // namespace

std::array<uint8_t, 3> msf_of_lba(uint32_t lba) {
  const uint32_t frames = lba + kLeadInFrames;
  return {static_cast<uint8_t>(frames / (kFramesPerSecond * kSecondsPerMinute)),
          static_cast<uint8_t>(frames / kFramesPerSecond % kSecondsPerMinute),
          static_cast<uint8_t>(frames % kFramesPerSecond)};
}

void finish_mode1_sector(uint32_t lba, std::span<uint8_t, kCdRawBytes> raw) {
  raw[0] = raw[11] = 0;
  std::fill(raw.begin() + 1, raw.begin() + 11, uint8_t{0xff});
  const std::array<uint8_t, 3> msf = msf_of_lba(lba);
  for (size_t i = 0; i < 3; ++i) raw[kHeader + i] = bcd(msf[i]);
  raw[kHeader + 3] = 1;  // mode
  const uint32_t edc = error_detection_code(raw.first(kEdc));
  for (size_t i = 0; i < 4; ++i) raw[kEdc + i] = static_cast<uint8_t>(edc >> (8 * i));
  std::fill(raw.begin() + kIntermediate, raw.begin() + kParityP, uint8_t{0});
  add_parity(raw.subspan(kHeader, kParityP - kHeader), &raw[kParityP], 86, 24, 2, 86);
  add_parity(raw.subspan(kHeader, kParityQ - kHeader), &raw[kParityQ], 52, 43, 86, 88);
}

}  // namespace vireo
