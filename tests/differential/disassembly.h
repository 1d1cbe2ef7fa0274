// Capstone's view of an instruction, for failure reports.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/isa/insn.h"

namespace vireo::diff {

/// "add eax, dword ptr [ecx + 4]"; says so if Capstone finds no instruction.
std::string disassemble(std::span<const uint8_t> bytes, uint32_t eip, isa::CodeSize code_size);

}  // namespace vireo::diff
