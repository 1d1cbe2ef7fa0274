// Compares the decoder with Capstone on one string of bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/isa/mnemonic.h"
#include "tests/isa/capstone_reference.h"
#include "tests/isa/disagreement_list.h"

namespace vireo::isa {

/// Which of Capstone's names a mnemonic goes by: capstone_names.txt; without a line there, its own in lower
/// case.
class CapstoneNames {
 public:
  explicit CapstoneNames(const std::string& path);
  bool agree(Mnemonic mnemonic, std::string_view capstone_name) const;

 private:
  std::unordered_map<Mnemonic, std::vector<std::string>> names_;
};

class Comparison {
 public:
  Comparison(CodeSize code_size, const CapstoneNames& names)
      : code_size_(code_size), names_(names), capstone_(code_size) {}

  /// Looks at the first 15 bytes at most. Both refusing the bytes is agreement.
  std::optional<Disagreement> compare(std::span<const uint8_t> bytes);

  /// As compare(), with the host CPU instead of Capstone: kinds vireo-only, host-only, length.
  std::optional<Disagreement> compare_with_host(std::span<const uint8_t> bytes);

  /// For reports: both opinions in words.
  std::string explain(std::span<const uint8_t> bytes);

  CodeSize code_size() const { return code_size_; }

  uint64_t decoded = 0;  ///< comparisons that the decoder answered with kOk

 private:
  struct Opinions {
    Insn insn;
    bool ours = false;  ///< `insn` is valid
    const cs_insn* theirs = nullptr;
  };
  /// The kind of disagreement; empty if there is none.
  std::string_view disagreement(std::span<const uint8_t> bytes, Opinions& out);
  /// There would be none if the prefixes stood in the order that Capstone expects.
  bool agree_in_order(std::span<const uint8_t> bytes, const Opinions& as_given);
  Disagreement describe(std::span<const uint8_t> bytes, std::string_view kind, std::string_view ours,
                        std::string_view theirs) const;

  const CodeSize code_size_;
  const CapstoneNames& names_;
  CapstoneReference capstone_;
};

}  // namespace vireo::isa
