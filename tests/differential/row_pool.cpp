#include "tests/differential/row_pool.h"

#include <array>
#include <vector>

#include "core/isa/cpuid.h"

namespace vireo::diff {
namespace {

using isa::Family;

struct Group {
  unsigned weight;
  std::vector<const isa::InsnRow*> rows;
};

/// By family: how often, in relation to the others, its rows are taken.
constexpr std::pair<Family, unsigned> kWeights[] = {
    {Family::Alu, 240},  {Family::Shift, 80},  {Family::MulDiv, 40},  {Family::Bit, 50},  {Family::Move, 170},
    {Family::Stack, 90}, {Family::String, 60}, {Family::Segment, 10}, {Family::Fpu, 120}, {Family::Mmx, 50},
    {Family::Sse, 110},  {Family::System, 6},  {Family::Control, 4},  {Family::Io, 2},
};

std::vector<Group> make_groups() {
  std::vector<Group> groups;
  for (const auto& [family, weight] : kWeights) {
    Group group{weight, {}};
    for (const isa::InsnRow& row : isa::rows()) {
      constexpr unsigned kLegacyModes = 1;
      const bool transfers = row.insn_class == isa::InsnClass::Control &&
                             row.mnemonic != isa::Mnemonic::INTO && row.mnemonic != isa::Mnemonic::BOUND &&
                             row.mnemonic != isa::Mnemonic::INT;
      if (row.family == family && !transfers && row.encoding.modes & kLegacyModes &&
          row.support != isa::Support::kDecodeOnly) {
        group.rows.push_back(&row);
      }
    }
    if (!group.rows.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace

const isa::InsnRow& random_program_row(Rng& rng) {
  static const std::vector<Group> groups = make_groups();
  static const unsigned total = [] {
    unsigned sum = 0;
    for (const Group& group : groups) sum += group.weight;
    return sum;
  }();
  unsigned dice = rng.below(total);
  for (const Group& group : groups) {
    if (dice < group.weight) return *rng.pick(group.rows);
    dice -= group.weight;
  }
  return *groups[0].rows[0];
}

bool comparable(const isa::InsnRow& row) {
  static const isa::FeatureSet host = host_features();
  return row.support != isa::Support::kDecodeOnly || !host.has(row.feature);
}

}  // namespace vireo::diff
