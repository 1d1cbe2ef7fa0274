// Logging by category. Trace lines cost one load and a branch when their category is off.
#pragma once

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace vireo {

/// What `--trace` can name; kept in step with kLogCategoryNames.
enum class LogCategory : uint8_t {
  kCpu,        ///< every instruction that the interpreter executes
  kException,  ///< exceptions and interrupts delivered
  kMmu,
  kIo,  ///< port and MMIO accesses to addresses that no device claims
  kPci,
  kIrq,
  kTimer,
  kDisk,
  kFloppy,
  kVideo,
  kInput,
  kSerial,
  kFirmware,
  kAcpi,
  kDma,
  kMachine,
  kBlocks,  ///< code translated, invalidated, evicted
  kExits,   ///< why translated code was left
  kCode,    ///< translated code, disassembled
  kCount,
};

inline constexpr std::array<std::string_view, static_cast<size_t>(LogCategory::kCount)> kLogCategoryNames = {
    "cpu",   "exception", "mmu",      "io",   "pci", "irq",     "timer",  "disk",  "floppy", "video",
    "input", "serial",    "firmware", "acpi", "dma", "machine", "blocks", "exits", "code",
};

namespace log_detail {
extern std::atomic<uint32_t> enabled_mask;
void write_line(std::string_view category, std::string_view text);
bool take_guest_error_token(LogCategory category);
}  // namespace log_detail

inline bool log_enabled(LogCategory category) {
  return (log_detail::enabled_mask.load(std::memory_order_relaxed) >> static_cast<unsigned>(category)) & 1;
}

/// Turns on the comma-separated categories ("all" is every one). An unknown name is an Error.
Result<void> enable_log_categories(std::string_view comma_separated);

/// A trace line on stderr if `category` is on.
template <class... Args>
void trace(LogCategory category, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(category)) {
    log_detail::write_line(kLogCategoryNames[static_cast<size_t>(category)],
                           fmt::format(format, std::forward<Args>(args)...));
  }
}

/// Something odd that the guest did. Shown when the category is on, at most a few hundred lines per category.
template <class... Args>
void guest_error(LogCategory category, fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(category) && log_detail::take_guest_error_token(category)) {
    log_detail::write_line(kLogCategoryNames[static_cast<size_t>(category)],
                           fmt::format(format, std::forward<Args>(args)...));
  }
}

/// A message for the user, always shown: "vireo: TEXT" on stderr.
void notice(std::string_view text);

}  // namespace vireo
