// The 256 words that IDENTIFY DEVICE and IDENTIFY PACKET DEVICE give.
// Source: ATA/ATAPI-6 (T13/1410D), 8.15 and 8.16.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace vireo {

/// Transfer mode after power-on: multiword DMA 2, as SET FEATURES 03h writes it.
inline constexpr uint8_t kDefaultDmaMode = 0x22;

/// The DMA mode selected after SET FEATURES 03h with `mode` in the sector count; nothing if the drive hasn't
/// that mode. PIO modes leave the DMA mode as it is.
std::optional<uint8_t> dma_mode_after(uint8_t mode, uint8_t selected);

class IdentifyData {
 public:
  void word(unsigned index, uint16_t value) { words_[index] = value; }
  /// Low word first.
  void dword(unsigned index, uint32_t value);
  /// ASCII, the first character of each pair in the high byte, padded with blanks.
  void text(unsigned index, unsigned words, std::string_view text);
  /// Words 63 to 68 and 88: the modes that the drive has, and the selected one.
  void dma_modes(uint8_t selected);
  /// Word 255: signature and checksum; last.
  void seal();
  void copy_to(std::span<uint8_t> out) const;

 private:
  std::array<uint16_t, 256> words_{};
};

}  // namespace vireo
