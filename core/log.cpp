#include "core/log.h"

#include <cstdio>

namespace vireo {

namespace log_detail {

std::atomic<uint32_t> enabled_mask{0};

namespace {
constexpr unsigned kGuestErrorLinesPerCategory = 500;
std::array<std::atomic<unsigned>, static_cast<size_t>(LogCategory::kCount)> guest_error_lines{};
}  // namespace

void write_line(std::string_view category, std::string_view text) {
  std::string line = fmt::format("[{}] {}\n", category, text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

bool take_guest_error_token(LogCategory category) {
  return guest_error_lines[static_cast<size_t>(category)].fetch_add(1, std::memory_order_relaxed) <
         kGuestErrorLinesPerCategory;
}

}  // namespace log_detail

Result<void> enable_log_categories(std::string_view comma_separated) {
  uint32_t mask = 0;
  while (!comma_separated.empty()) {
    const size_t comma = comma_separated.find(',');
    const std::string_view name = comma_separated.substr(0, comma);
    comma_separated.remove_prefix(comma == std::string_view::npos ? comma_separated.size() : comma + 1);
    if (name == "all") {
      mask = ~0u;
      continue;
    }
    size_t index = 0;
    while (index < kLogCategoryNames.size() && kLogCategoryNames[index] != name) ++index;
    if (index == kLogCategoryNames.size()) {
      return Error{fmt::format("--trace: unknown category '{}'; use all or some of {}", name,
                               fmt::join(kLogCategoryNames, ","))};
    }
    mask |= 1u << index;
  }
  log_detail::enabled_mask.fetch_or(mask, std::memory_order_relaxed);
  return {};
}

void notice(std::string_view text) {
  std::string line = fmt::format("vireo: {}\n", text);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace vireo
