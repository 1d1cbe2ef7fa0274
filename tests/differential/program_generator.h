// Makes random programs of user-mode code: rows of the instruction table, held together with branches, loops
// that end, calls, tables of jumps, stack traffic and loads of segments.
#pragma once

#include "tests/differential/program.h"
#include "tests/differential/rng.h"

namespace vireo::diff {

Program generate_program(Rng& rng);

}  // namespace vireo::diff
