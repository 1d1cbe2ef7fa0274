// Capstone's decoding of an instruction, as the independent opinion.
#pragma once

#include <capstone/capstone.h>

#include <cstdint>
#include <span>
#include <string_view>

#include "core/isa/insn.h"

namespace vireo::isa {

class CapstoneReference {
 public:
  explicit CapstoneReference(CodeSize code_size);
  ~CapstoneReference();
  CapstoneReference(const CapstoneReference&) = delete;
  CapstoneReference& operator=(const CapstoneReference&) = delete;

  /// The instruction at bytes[0], with details; null if it is none. Valid until the next call. It is decoded
  /// at address kAddress.
  const cs_insn* decode(std::span<const uint8_t> bytes);
  static constexpr uint64_t kAddress = 0x1000;

  /// The name of the mnemonic alone, without REP, LOCK or predicates: "movsb", "cmpps".
  std::string_view name(const cs_insn& insn) const { return cs_insn_name(handle_, insn.id); }

 private:
  csh handle_ = 0;
  cs_insn* insn_ = nullptr;
};

}  // namespace vireo::isa
