// What plan_direct_boot() has per kernel format.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <cstring>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>

#include "core/machine/direct_boot.h"

namespace vireo::direct_boot {

/// SeaBIOS keeps tables at the end of RAM; the option ROM looks for the exact place, this is for checks.
inline constexpr uint64_t kFirmwareReserve = 256 << 10;
inline constexpr uint64_t kOneMib = 1 << 20;

bool is_linux(std::span<const uint8_t> kernel);
Result<DirectBootPlan> plan_linux(DirectBootFiles files, uint64_t ram_bytes);

bool is_multiboot(std::span<const uint8_t> kernel);
Result<DirectBootPlan> plan_multiboot(DirectBootFiles files, uint64_t ram_bytes);

/// Little-endian field access; the caller has checked the range.
template <std::unsigned_integral T>
T get(std::span<const uint8_t> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.subspan(offset, sizeof value).data(), sizeof value);
  return value;
}
template <std::unsigned_integral T>
void put(std::span<uint8_t> bytes, size_t offset, T value) {
  std::memcpy(bytes.subspan(offset, sizeof value).data(), &value, sizeof value);
}

inline void add_u32(DirectBootPlan& plan, uint16_t key, uint64_t value) {
  std::vector<uint8_t> bytes(4);
  put(bytes, 0, static_cast<uint32_t>(value));
  plan.items.push_back({key, std::move(bytes)});
}

inline Error kernel_error(const DirectBootFiles& files, std::string_view what) {
  return {fmt::format("{}: {}", files.kernel_name.empty() ? "the kernel" : files.kernel_name, what)};
}

/// "needs N MiB of RAM, the machine has M".
inline Error too_little_ram(const DirectBootFiles& files, uint64_t needed, uint64_t ram_bytes) {
  return kernel_error(files,
                      fmt::format("with its initrd it needs {} MiB of RAM and the machine has {} MiB; give "
                                  "it more with -m",
                                  (needed + kOneMib - 1) / kOneMib, ram_bytes / kOneMib));
}

}  // namespace vireo::direct_boot
