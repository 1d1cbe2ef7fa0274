// One enumerator per mnemonic of insn_table.inc, in its order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/isa/insn.h"

namespace vireo::isa {

enum class Mnemonic : uint16_t {
#define INSTRUCTION(name, family, class, feature, flags) name,
#define NATIVE(name, family, class, feature, flags) name,
#define DECODE_ONLY(name, family, class, feature, flags) name,
#include "core/isa/insn_table.inc"
};

inline constexpr std::string_view kMnemonicNames[] = {
#define INSTRUCTION(name, family, class, feature, flags) #name,
#define NATIVE(name, family, class, feature, flags) #name,
#define DECODE_ONLY(name, family, class, feature, flags) #name,
#include "core/isa/insn_table.inc"
};

inline constexpr size_t kMnemonicCount = sizeof(kMnemonicNames) / sizeof(kMnemonicNames[0]);

constexpr std::string_view mnemonic_name(Mnemonic mnemonic) {
  return kMnemonicNames[static_cast<size_t>(mnemonic)];
}

}  // namespace vireo::isa
