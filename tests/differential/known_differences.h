// The explained differences: known_differences.txt, a reason per line.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/isa/insn_row.h"
#include "core/result.h"
#include "tests/differential/compare.h"

namespace vireo::diff {

/// "ADD 00 /r: Eb, Gb": names a row in options, reports, seeds and known_differences.txt.
std::string row_title(const isa::InsnRow& row);

class KnownDifferences {
 public:
  /// Without the lines that are for other oracles than `oracle` (NativeCpu::name()) or other hosts' CPUs.
  static Result<KnownDifferences> load(const std::string& path, std::string_view oracle);

  /// The row is not run at all (and why), or empty.
  std::string_view why_skipped(const isa::InsnRow& row);
  /// Removes what a line explains for this row and these outcomes.
  void explain(const isa::InsnRow& row, const Outcome& native, const Outcome& engine,
               std::vector<Difference>& differences);
  /// Lines that explained nothing so far, "FILE:LINE: text".
  std::vector<std::string> unused() const;

 private:
  struct Line {
    std::string where;
    std::string text;
    std::string row;  ///< mnemonic or title
    std::set<std::string, std::less<>> keys;
    std::string native, engine;  ///< how that side must end: vectors, "ok", with commas between; or empty
    std::string reason;
    bool used = false;
  };
  std::vector<Line> lines_;
};

}  // namespace vireo::diff
