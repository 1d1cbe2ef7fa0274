#include "softmmu/table_watch.h"

#include <algorithm>

namespace vireo {

bool TableWatch::add(Gpa page, Use use) {
  if (memory_.page(page).write == nullptr) return false;
  std::vector<Use>& uses = uses_[page.value];
  if (std::find(uses.begin(), uses.end(), use) != uses.end()) return true;
  if (uses.empty()) memory_.mark_tables(page);
  uses.push_back(use);
  pages_of_[use.space].push_back(page.value);
  return true;
}

const std::vector<TableWatch::Use>& TableWatch::uses(Gpa address) const {
  static const std::vector<Use> kNone;
  const auto found = uses_.find(address.page().value);
  return found != uses_.end() ? found->second : kNone;
}

void TableWatch::drop_space(unsigned space) {
  for (const uint64_t page : pages_of_[space]) {
    const auto found = uses_.find(page);
    if (found == uses_.end()) continue;
    std::erase_if(found->second, [&](const Use& use) { return use.space == space; });
    if (!found->second.empty()) continue;
    memory_.clear_tables_mark({page});
    uses_.erase(found);
  }
  pages_of_[space].clear();
}

}  // namespace vireo
