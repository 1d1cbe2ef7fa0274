#include "core/machine/typist.h"

#include <optional>

namespace vireo {

namespace {

constexpr HidKey kLeftShift = 0xe1;

struct Stroke {
  HidKey key;
  bool shift;
};

/// Keys without a letter, by HID usage number: plain and shifted character (US layout).
struct SymbolKey {
  HidKey key;
  char plain;
  char shifted;
};
constexpr SymbolKey kSymbolKeys[] = {
    {0x1e, '1', '!'}, {0x1f, '2', '@'},  {0x20, '3', '#'}, {0x21, '4', '$'}, {0x22, '5', '%'},
    {0x23, '6', '^'}, {0x24, '7', '&'},  {0x25, '8', '*'}, {0x26, '9', '('}, {0x27, '0', ')'},
    {0x28, '\n', 0},  {0x29, '\x1b', 0}, {0x2a, '\b', 0},  {0x2b, '\t', 0},  {0x2c, ' ', 0},
    {0x2d, '-', '_'}, {0x2e, '=', '+'},  {0x2f, '[', '{'}, {0x30, ']', '}'}, {0x31, '\\', '|'},
    {0x33, ';', ':'}, {0x34, '\'', '"'}, {0x35, '`', '~'}, {0x36, ',', '<'}, {0x37, '.', '>'},
    {0x38, '/', '?'},
};

std::optional<Stroke> stroke_for(char c) {
  if (c >= 'a' && c <= 'z') return Stroke{static_cast<HidKey>(0x04 + (c - 'a')), false};
  if (c >= 'A' && c <= 'Z') return Stroke{static_cast<HidKey>(0x04 + (c - 'A')), true};
  for (const SymbolKey& symbol : kSymbolKeys) {
    if (c == symbol.plain) return Stroke{symbol.key, false};
    if (symbol.shifted != 0 && c == symbol.shifted) return Stroke{symbol.key, true};
  }
  return std::nullopt;
}

}  // namespace

void Typist::type(std::string_view text) {
  for (char c : text) {
    const std::optional<Stroke> stroke = stroke_for(c == '\r' ? '\n' : c);
    if (!stroke) continue;
    if (stroke->shift) events_.push_back({kLeftShift, true});
    events_.push_back({stroke->key, true});
    events_.push_back({stroke->key, false});
    if (stroke->shift) events_.push_back({kLeftShift, false});
  }
}

void Typist::poll(VirtualNs now) {
  if (events_.empty() || now < next_at_ || !keyboard_.ready()) return;
  keyboard_.key(events_.front().key, events_.front().down);
  events_.pop_front();
  next_at_ = now + kKeyInterval;
}

}  // namespace vireo
