#include "translator/counters.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <vector>

namespace vireo::translator {

namespace {

constexpr size_t kMnemonicsShown = 30;

void visit_by_mnemonic(std::string_view group, const Counters::ByMnemonic& counts,
                       const std::function<void(std::string_view, uint64_t)>& visit) {
  std::vector<size_t> order;
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] != 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t x, size_t y) { return counts[x] > counts[y]; });
  uint64_t others = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    const size_t i = order[rank];
    if (rank < kMnemonicsShown) {
      visit(fmt::format("{}/{}", group, isa::mnemonic_name(static_cast<isa::Mnemonic>(i))), counts[i]);
    } else {
      others += counts[i];
    }
  }
  if (others != 0) visit(fmt::format("{}/others", group), others);
}

}  // namespace

std::string_view leaving_name(Leaving leaving) {
  switch (leaving) {
    case Leaving::kLink:
      return "jump not linked";
    case Leaving::kIndirect:
      return "target not in the jump cache";
    case Leaving::kTable:
      return "branch table entry not known";
    case Leaving::kCountdown:
      return "countdown";
    case Leaving::kStep:
      return "rest of an instruction";
    case Leaving::kNoFpu:
      return "FPU not to be used";
    case Leaving::kHostFault:
      return "host exception";
    case Leaving::kNotDirect:
      return "access not direct";
    case Leaving::kOtherPage:
      return "table in several pages";
    case Leaving::kUnaligned:
      return "access not aligned";
    case Leaving::kEvent:
      return "event";
    case Leaving::kModeChanged:
      return "mode changed";
    case Leaving::kCodeChanged:
      return "code changed";
    case Leaving::kCount:
      break;
  }
  return "?";
}

void Counters::visit(uint64_t retired, const std::function<void(std::string_view, uint64_t)>& visit) const {
  const auto sum = [](const auto& counts) {
    return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  };
  const uint64_t without_emitter = sum(no_emitter), missing = sum(missed);
  const uint64_t interpreted = cold + near_limit + alone + without_emitter + missing;
  visit("instructions/retired", retired);
  visit("instructions/translated", retired - std::min(interpreted, retired));
  visit("instructions/interpreted: no emitter", without_emitter);
  visit("instructions/interpreted: fast path missed", missing);
  visit("instructions/interpreted: cold", cold);
  visit("instructions/interpreted: near a limit", near_limit);
  visit("instructions/interpreted: alone", alone);
  visit("translated code/entries", entries);
  for (size_t i = 0; i < leaves.size(); ++i) {
    visit(fmt::format("translated code/exits: {}", leaving_name(static_cast<Leaving>(i))), leaves[i]);
  }
  visit("translated code/TLB fills", fills);
  visit("translated code/TLB fills that failed", failed_fills);
  visit("translated code/accesses that cost a signal", trapped);
  visit("translated code/FPU loads", fpu_loads);
  visit("translated code/blocks adapted", adapted);
  visit_by_mnemonic("no emitter", no_emitter, visit);
  visit_by_mnemonic("fast path missed", missed, visit);
}

}  // namespace vireo::translator
