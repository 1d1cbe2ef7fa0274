// The rows that random programs are made of.
#pragma once

#include "core/isa/insn_row.h"
#include "tests/differential/rng.h"

namespace vireo::diff {

/// A row that 16- and 32-bit code can execute and that does not transfer control; common families more often.
const isa::InsnRow& random_program_row(Rng& rng);

/// The host and Vireo's CPU models have it, or both lack it.
bool comparable(const isa::InsnRow& row);

}  // namespace vireo::diff
