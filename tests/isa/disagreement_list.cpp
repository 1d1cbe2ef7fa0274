#include "tests/isa/disagreement_list.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <fstream>
#include <sstream>

#include "core/check.h"

namespace vireo::isa {
namespace {

bool matches(const std::string& pattern, const std::string& text) {
  return fnmatch(pattern.c_str(), text.c_str(), FNM_EXTMATCH) == 0;
}

}  // namespace

std::string Disagreement::text() const {
  return fmt::format("{} {} {} {} {} {}", mode, kind, vireo, capstone, opcode, prefixes);
}

DisagreementList::DisagreementList(const std::string& path) {
  std::ifstream file(path);
  CHECK(file.good());
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t colon = line.find(" : ");
    CHECK(colon != std::string::npos);
    Entry entry;
    entry.line = line;
    entry.reason = line.substr(colon + 3);
    std::istringstream columns(line.substr(0, colon));
    Disagreement& p = entry.pattern;
    CHECK(columns >> p.mode >> p.kind >> p.vireo >> p.capstone >> p.opcode >> p.prefixes);
    entries_.push_back(entry);
  }
}

bool DisagreementList::explain(const Disagreement& d) {
  for (Entry& entry : entries_) {
    const Disagreement& p = entry.pattern;
    if (matches(p.kind, d.kind) && matches(p.mode, d.mode) && matches(p.vireo, d.vireo) &&
        matches(p.capstone, d.capstone) && matches(p.opcode, d.opcode) && matches(p.prefixes, d.prefixes)) {
      entry.uses++;
      return true;
    }
  }
  return false;
}

std::vector<std::string> DisagreementList::unused(bool long_run) const {
  std::vector<std::string> lines;
  for (const Entry& entry : entries_) {
    if (entry.uses == 0 && (long_run || !entry.reason.starts_with("rare:"))) lines.push_back(entry.line);
  }
  return lines;
}

std::vector<std::string> DisagreementList::report() const {
  std::vector<std::string> lines;
  for (const Entry& entry : entries_) lines.push_back(fmt::format("{:9} {}", entry.uses, entry.line));
  return lines;
}

}  // namespace vireo::isa
