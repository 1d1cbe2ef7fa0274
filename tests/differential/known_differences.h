// The explained differences: known_differences.txt, a reason per line.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "tests/differential/compare.h"

namespace vireo::diff {

class KnownDifferences {
 public:
  static Result<KnownDifferences> load(const std::string& path);

  /// The row is not run at all (and why), or empty.
  std::string_view why_skipped(std::string_view mnemonic);
  /// Removes what a line explains for this mnemonic.
  void explain(std::string_view mnemonic, std::vector<Difference>& differences);
  /// Lines that explained nothing so far, "FILE:LINE: text".
  std::vector<std::string> unused() const;

 private:
  struct Line {
    std::string where;
    std::string text;
    std::string mnemonic;
    std::set<std::string, std::less<>> keys;
    std::string reason;
    bool used = false;
  };
  std::vector<Line> lines_;
};

}  // namespace vireo::diff
