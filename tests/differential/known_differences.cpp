#include "tests/differential/known_differences.h"

#include <cpuid.h>
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

bool ends_so(const std::string& wanted, const Outcome& outcome) {
  if (wanted.empty()) return true;
  if (outcome.kind != Outcome::Kind::kCompleted && outcome.kind != Outcome::Kind::kException) return false;
  const bool completed = outcome.kind == Outcome::Kind::kCompleted;
  const std::string end = completed ? "ok" : std::to_string(outcome.vector);
  return ("," + wanted + ",").find("," + end + ",") != std::string::npos;
}

/// "GenuineIntel", "AuthenticAMD".
std::string host_vendor() {
  unsigned eax, ebx, ecx, edx;
  __cpuid(0, eax, ebx, ecx, edx);
  std::string name;
  for (unsigned part : {ebx, edx, ecx}) name.append(reinterpret_cast<const char*>(&part), sizeof part);
  return name;
}

}  // namespace

std::string row_title(const isa::InsnRow& row) {
  return fmt::format("{} {}: {}", row.name(), row.encoding_text, row.operand_text);
}

Result<KnownDifferences> KnownDifferences::load(const std::string& path, std::string_view oracle) {
  std::ifstream file(path);
  if (!file) return Error{fmt::format("cannot read the known differences in {}", path)};
  KnownDifferences known;
  std::string text;
  for (unsigned number = 1; std::getline(file, text); number++) {
    if (trimmed(text).empty() || text[0] == '#') continue;
    const size_t first = text.find('|'), second = text.find('|', first + 1);
    Line line;
    bool wanted = true;
    line.where = fmt::format("{}:{}", path, number);
    line.text = text;
    if (second != std::string::npos) {
      line.row = trimmed(text.substr(0, first));
      line.reason = trimmed(text.substr(second + 1));
      std::istringstream keys(text.substr(first + 1, second - first - 1));
      for (std::string key; keys >> key;) {
        if (key.starts_with("native=")) {
          line.native = key.substr(7);
        } else if (key.starts_with("engine=")) {
          line.engine = key.substr(7);
        } else if (key.starts_with("oracle=")) {
          wanted &= key.substr(7) == oracle;
        } else if (key.starts_with("host=")) {
          wanted &= key.substr(5) == host_vendor();
        } else if (key == "rare") {
          line.used = true;
        } else {
          line.keys.insert(key);
        }
      }
    }
    if (line.row.empty() || line.keys.empty() || line.reason.empty()) {
      return Error{fmt::format("{}: a line is ROW | KEYS | REASON", line.where)};
    }
    if (wanted) known.lines_.push_back(std::move(line));
  }
  return known;
}

std::string_view KnownDifferences::why_skipped(const isa::InsnRow& row) {
  for (Line& line : lines_) {
    if ((line.row == row.name() || line.row == row_title(row)) && line.keys.contains("skip")) {
      line.used = true;
      return line.reason;
    }
  }
  return {};
}

void KnownDifferences::explain(const isa::InsnRow& row, const Outcome& native, const Outcome& engine,
                               std::vector<Difference>& differences) {
  const std::string title = row_title(row);
  for (Line& line : lines_) {
    if (line.row != row.name() && line.row != title) continue;
    if (!ends_so(line.native, native) || !ends_so(line.engine, engine)) continue;
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
