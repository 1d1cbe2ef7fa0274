// Operand values: random ones mixed with the corner cases of every data type.
#pragma once

#include <cstdint>

#include "core/cpu_state.h"
#include "tests/differential/rng.h"

namespace vireo::diff {

/// An integer of `bytes` 1 to 8.
uint64_t random_integer(Rng& rng, unsigned bytes);

/// Fills memory or a register with something that suits an operand of that size: integers, reals of every
/// format, packed decimals, vectors of them.
void random_operand(Rng& rng, void* out, unsigned bytes);

/// An 80-bit real: normal numbers and every special and unsupported encoding.
void random_real80(Rng& rng, uint8_t out[10]);

/// x87, MMX and SSE state: control words with and without unmasked exceptions, stacks empty to full, any TOP.
void random_fx(Rng& rng, FxState& fx);

/// A value for MXCSR without reserved bits.
uint32_t random_mxcsr(Rng& rng);

}  // namespace vireo::diff
