// The explained disagreements with Capstone: capstone_disagreements.txt.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace vireo::isa {

/// What the decoder and Capstone make of the same bytes, as the columns of capstone_disagreements.txt.
struct Disagreement {
  std::string mode;      ///< 16, 32, 64
  std::string kind;      ///< vireo-only, capstone-only, length, name, memory, immediate, order
  std::string vireo;     ///< our mnemonic or -
  std::string capstone;  ///< Capstone's mnemonic or -
  std::string opcode;    ///< map:opcode/reg and m or r, as in 0F38:F0/3m
  std::string prefixes;  ///< in the order LOCK+F2+F3+66+67+SEG+REX.WRXB, or -

  std::string text() const;
};

class DisagreementList {
 public:
  /// Reads the file; a line that cannot be understood is a CHECK failure.
  explicit DisagreementList(const std::string& path);

  /// The first line that explains it counts it; false if there is none.
  bool explain(const Disagreement& disagreement);

  /// Lines that have explained nothing; those whose reason starts with "rare:" only if `long_run`.
  std::vector<std::string> unused(bool long_run) const;
  /// "count reason" of each line.
  std::vector<std::string> report() const;

 private:
  struct Entry {
    Disagreement pattern;
    std::string line, reason;
    uint64_t uses = 0;
  };
  std::vector<Entry> entries_;
};

}  // namespace vireo::isa
