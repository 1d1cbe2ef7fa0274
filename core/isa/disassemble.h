// Disassembly for traces and the debugger, by Capstone: text that does not come from the decoder that it
// checks.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/isa/insn.h"

namespace vireo::isa {

struct Disassembly {
  std::string text;
  unsigned length;  ///< 0 if it is none
};

/// The instruction at bytes[0], in Intel syntax: "mov eax, dword ptr [ecx + 8]"; "(bad)" if it is none. `rip`
/// is its address, for relative targets. Microseconds, so not for translation.
Disassembly disassemble_one(std::span<const uint8_t> bytes, CodeSize code_size, uint64_t rip);
/// Its text alone.
std::string disassemble(std::span<const uint8_t> bytes, CodeSize code_size, uint64_t rip);

}  // namespace vireo::isa
