// Parsers of the three notations of insn_table.inc. Errors in the table are CHECK failures at start-up.
#pragma once

#include <string_view>

#include "core/isa/insn_row.h"

namespace vireo::isa {

/// "ODITSZAPC" letters to masks.
FlagEffects parse_flags(std::string_view text);

/// Fills row.operands and row.operand_count.
void parse_operands(std::string_view text, InsnRow& row);

/// Fills row.encoding; needs the operands and attributes (memory or register forms, modes).
void parse_encoding(std::string_view text, InsnRow& row);

}  // namespace vireo::isa
