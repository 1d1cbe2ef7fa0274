#include "translator/mixed_pages.h"

#include <algorithm>

namespace vireo::translator {
namespace {

uint64_t hash_of(std::span<const uint8_t> bytes) {
  // FNV-1a.
  uint64_t hash = 0xcbf29ce484222325;
  for (const uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3;
  return hash;
}

}  // namespace

bool MixedPages::note_store(uint64_t page, unsigned wasted, uint64_t now) {
  Page& p = pages_[page];
  if (p.mixed) return false;
  const uint64_t round = now - p.since;
  if (round > kRoundTime) {
    if (round > p.period) p.period = 0;
    p.stores = p.wasted = p.rounds = 0;
    p.since = now;
  }
  ++p.stores;
  p.wasted += wasted;
  return p.stores + p.wasted * kStoresPerTranslation >= kStoresPerRound;
}

MixedPages::Advice MixedPages::end_round(uint64_t page, std::span<const uint8_t> bytes,
                                         std::span<const Piece> code, uint64_t now) {
  Page& p = pages_[page];
  const bool same_code =
      !p.code.empty() && !code.empty() && std::all_of(p.code.begin(), p.code.end(), [&](const Remembered& r) {
        return hash_of(bytes.subspan(r.piece.offset, r.piece.size)) == r.hash;
      });
  const bool patched = p.wasted * kStoresPerTranslation >= kStoresPerRound / 2;
  if (!same_code && !patched) p.rounds = 0;
  p.code.clear();
  for (const Piece& c : code) p.code.push_back({c, hash_of(bytes.subspan(c.offset, c.size))});
  p.stores = p.wasted = 0;
  p.since = now;
  if (++p.rounds < kRounds) return Advice::kForget;
  p.mixed = true;
  p.period = p.period == 0 ? kFirstPeriod : std::min(2 * p.period, kLongestPeriod);
  p.due = now + p.period;
  next_due_ = std::min(next_due_, p.due);
  mixed_.push_back(page);
  return Advice::kMix;
}

std::vector<uint64_t> MixedPages::take_due(uint64_t now) {
  std::vector<uint64_t> due;
  next_due_ = ~uint64_t{0};
  std::erase_if(mixed_, [&](uint64_t page) {
    Page& p = pages_[page];
    if (p.due > now) {
      next_due_ = std::min(next_due_, p.due);
      return false;
    }
    p.mixed = false;
    p.changes.reset();
    // Not a stranger: one round is enough.
    p.rounds = kRounds - 1;
    p.stores = p.wasted = 0;
    p.since = now;
    due.push_back(page);
    return true;
  });
  return due;
}

void MixedPages::note_change(uint64_t address) {
  auto found = pages_.find(address & ~kPageMask);
  if (found == pages_.end() || !found->second.mixed) return;
  auto& changes = found->second.changes;
  if (changes == nullptr) changes = std::make_unique<std::array<uint8_t, kPageSize>>();
  uint8_t& count = (*changes)[address & kPageMask];
  if (count < kChanges) ++count;
}

bool MixedPages::keeps_changing(uint64_t address, unsigned size) const {
  auto found = pages_.find(address & ~kPageMask);
  if (found == pages_.end() || found->second.changes == nullptr) return false;
  const auto& changes = *found->second.changes;
  const uint64_t first = address & kPageMask, end = std::min(first + size, kPageSize);
  return std::any_of(changes.begin() + first, changes.begin() + end,
                     [](uint8_t count) { return count >= kChanges; });
}

void MixedPages::clear() {
  pages_.clear();
  mixed_.clear();
  next_due_ = ~uint64_t{0};
}

}  // namespace vireo::translator
