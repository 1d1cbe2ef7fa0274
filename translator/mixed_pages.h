// Which pages are mixed (GuestMemory::set_mixed()): those where stores and execution take turns so often that
// comparing their code with RAM at each entry costs less than keeping them from being written unseen. A page
// is none for being loaded with other code, be it often.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "core/types.h"

namespace vireo::translator {

/// Knows pages by physical address, A20 applied, and times as counts of retired instructions.
class MixedPages {
 public:
  /// An instruction has written to a page that is protected because of its code. `wasted`: translated blocks
  /// that this has killed shortly after they were made. True if that completes a round.
  bool note_store(uint64_t page, unsigned wasted, uint64_t now);
  enum class Advice : uint8_t {
    kForget,  ///< forget its code: it may be data from now on
    kMix,     ///< from now on it is mixed
  };
  /// A piece of a page.
  struct Piece {
    uint64_t offset;
    uint64_t size;
  };
  /// After note_store(). `bytes`: what the page holds; `code`: where translated blocks are left in it.
  Advice end_round(uint64_t page, std::span<const uint8_t> bytes, std::span<const Piece> code, uint64_t now);

  /// The pages that are mixed no longer, so as to see whether they are still written to.
  std::vector<uint64_t> take_due(uint64_t now);
  /// When take_due() has something to give.
  uint64_t next_due() const { return next_due_; }

  /// A byte of a mixed page is not what code was translated from a short time ago.
  void note_change(uint64_t address);
  /// One of these bytes has changed so often that code made of it is not worth a translation.
  bool keeps_changing(uint64_t address, unsigned size) const;

  const std::vector<uint64_t>& mixed() const { return mixed_; }
  void clear();

  // A round ends with so many stores that they have cost what translating the page anew does, a wasted
  // translation as much as several. It is a round only if it takes no longer than kRoundTime, at which its
  // stores are hardly felt. It succeeds another one only if that one's code is still there, or for what it
  // wasted.
  static constexpr unsigned kStoresPerRound = 32, kStoresPerTranslation = 8, kRounds = 4;
  static constexpr uint64_t kRoundTime = uint64_t{1} << 20;
  /// How long a page is mixed: twice as long each time that it turns out to be so still.
  static constexpr uint64_t kFirstPeriod = uint64_t{1} << 24, kLongestPeriod = uint64_t{1} << 34;
  static constexpr uint8_t kChanges = 4;

 private:
  /// What was there.
  struct Remembered {
    Piece piece;
    uint64_t hash;
  };
  struct Page {
    unsigned stores = 0, wasted = 0;  ///< in this round
    unsigned rounds = 0;              ///< in succession
    uint64_t since = 0;               ///< the round's start
    std::vector<Remembered> code;     ///< of the latest round
    bool mixed = false;
    uint64_t period = 0;  ///< the latest one that it was mixed for
    uint64_t due = 0;
    std::unique_ptr<std::array<uint8_t, kPageSize>> changes;  ///< how often, by byte
  };

  std::unordered_map<uint64_t, Page> pages_;
  std::vector<uint64_t> mixed_;
  uint64_t next_due_ = ~uint64_t{0};
};

}  // namespace vireo::translator
