#include "tests/differential/known_differences.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace vireo::diff {
namespace {

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t") - begin + 1));
}

}  // namespace

Result<KnownDifferences> KnownDifferences::load(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Error{fmt::format("cannot read the known differences in {}", path)};
  KnownDifferences known;
  std::string text;
  for (unsigned number = 1; std::getline(file, text); number++) {
    if (trimmed(text).empty() || text[0] == '#') continue;
    const size_t first = text.find('|'), second = text.find('|', first + 1);
    Line line;
    line.where = fmt::format("{}:{}", path, number);
    line.text = text;
    if (second != std::string::npos) {
      line.mnemonic = trimmed(text.substr(0, first));
      line.reason = trimmed(text.substr(second + 1));
      std::istringstream keys(text.substr(first + 1, second - first - 1));
      for (std::string key; keys >> key;) line.keys.insert(key);
    }
    if (line.mnemonic.empty() || line.keys.empty() || line.reason.empty()) {
      return Error{fmt::format("{}: a line is MNEMONIC | KEYS | REASON", line.where)};
    }
    known.lines_.push_back(std::move(line));
  }
  return known;
}

std::string_view KnownDifferences::why_skipped(std::string_view mnemonic) {
  for (Line& line : lines_) {
    if (line.mnemonic == mnemonic && line.keys.contains("skip")) {
      line.used = true;
      return line.reason;
    }
  }
  return {};
}

void KnownDifferences::explain(std::string_view mnemonic, std::vector<Difference>& differences) {
  for (Line& line : lines_) {
    if (line.mnemonic != mnemonic) continue;
    const size_t before = differences.size();
    std::erase_if(differences,
                  [&](const Difference& d) { return line.keys.contains(d.key) || line.keys.contains("*"); });
    if (differences.size() != before) line.used = true;
  }
}

std::vector<std::string> KnownDifferences::unused() const {
  std::vector<std::string> out;
  for (const Line& line : lines_) {
    if (!line.used) out.push_back(line.where + ": " + line.text);
  }
  return out;
}

}  // namespace vireo::diff
