#include "translator/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <vector>

namespace vireo::translator {

namespace {

/// NAME turns it on, no-NAME off.
struct Switch {
  std::string_view name;
  bool Options::*member;
  bool Options::*asked = nullptr;  ///< whether NAME was among the words
};
constexpr Switch kSwitches[] = {
    {"chain", &Options::chain},
    {"lookup", &Options::inline_lookup},
    {"tables", &Options::branch_tables},
    {"pairs", &Options::pair_calls},
    {"inline-memory", &Options::inline_memory},
    {"fpu", &Options::fpu},
    {"strings", &Options::strings},
    {"system", &Options::system},
    {"groups", &Options::page_groups},
    {"adapt", &Options::adapt},
    {"side-exits", &Options::side_exits},
    {"windows", &Options::windows},
    {"self-check", &Options::self_check},
    {"trust", &Options::trust, &Options::trust_asked},
    {"late-poll", &Options::late_poll},
    {"defer-esp", &Options::defer_esp},
    {"unroll", &Options::unroll},
    {"descriptors", &Options::descriptors},
};

/// NAME=VALUE.
struct Number {
  std::string_view name;
  uint64_t least, most;
  std::string_view range;  ///< for messages
  void (*set)(Options&, uint64_t);
};
constexpr Number kNumbers[] = {
    {"hot", 0, 1'000'000, "0 to 1000000",
     [](Options& o, uint64_t value) { o.hot_threshold = static_cast<uint32_t>(value); }},
    {"cache", uint64_t{1} << 20, uint64_t{1} << 30, "1M to 1G",
     [](Options& o, uint64_t value) { o.code_cache_bytes = value & ~uint64_t{4095}; }},
    {"window-after", 0, uint64_t{1} << 40, "0 to 1024G",
     [](Options& o, uint64_t value) { o.window_after = value; }},
    {"window-mappings", 64, uint64_t{1} << 30, "64 to 1G",
     [](Options& o, uint64_t value) { o.window_mappings = value; }},
    {"keep-spaces", 0, 1'000'000, "0 to 1000000",
     [](Options& o, uint64_t value) { o.keep_spaces_after = static_cast<uint32_t>(value); }},
    {"block", 1, 64, "1 to 64",
     [](Options& o, uint64_t value) { o.max_block_insns = static_cast<unsigned>(value); }},
    {"signal-cost", 1, 1'000'000, "1 to 1000000",
     [](Options& o, uint64_t value) { o.host_costs = HostCosts{.signal = static_cast<uint32_t>(value)}; }},
};

/// Decimal, with K, M or G behind it.
std::optional<uint64_t> parse_number(std::string_view text) {
  uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || value > uint64_t{1} << 40) return std::nullopt;
  const std::string_view suffix(rest, static_cast<size_t>(text.data() + text.size() - rest));
  if (suffix.empty()) return value;
  if (suffix == "K") return value << 10;
  if (suffix == "M") return value << 20;
  if (suffix == "G") return value << 30;
  return std::nullopt;
}

std::string known_words() {
  std::vector<std::string> words;
  for (const Number& n : kNumbers) words.push_back(fmt::format("{}=N ({})", n.name, n.range));
  for (const Switch& s : kSwitches) words.push_back(fmt::format("[no-]{}", s.name));
  words.emplace_back("all-off");
  return fmt::format("{}", fmt::join(words, ", "));
}

void set(Options& options, const Switch& s, bool on) {
  options.*s.member = on;
  if (s.asked != nullptr) options.*s.asked = on;
}

Result<void> apply(std::string_view word, Options& options) {
  if (word == "all-off") {
    for (const Switch& s : kSwitches) set(options, s, false);
    options.keep_spaces_after = 0;
    options.host_costs = HostCosts{};
    return {};
  }
  const size_t equals = word.find('=');
  for (const Number& n : kNumbers) {
    if (word.substr(0, equals) != n.name) continue;
    const auto value =
        equals == std::string_view::npos ? std::nullopt : parse_number(word.substr(equals + 1));
    if (!value || *value < n.least || *value > n.most) {
      return Error{fmt::format("--translator {}: {} takes a number from {}", word, n.name, n.range)};
    }
    n.set(options, *value);
    return {};
  }
  const bool off = word.starts_with("no-");
  for (const Switch& s : kSwitches) {
    if (word.substr(off ? 3 : 0) != s.name) continue;
    set(options, s, !off);
    return {};
  }
  return Error{fmt::format("--translator: unknown word '{}'; use {}", word, known_words())};
}

}  // namespace

Result<Options> parse_options(std::string_view words) {
  Options options;
  while (!words.empty()) {
    const size_t comma = words.find(',');
    if (auto applied = apply(words.substr(0, comma), options); !applied) return applied.error();
    words.remove_prefix(comma == std::string_view::npos ? words.size() : comma + 1);
  }
  return options;
}

}  // namespace vireo::translator
