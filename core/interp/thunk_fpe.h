// Unmasked SIMD floating-point exceptions of generated code: the host's SIGFPE becomes a return value.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vireo::interp {

/// From now on a SIGFPE with RIP in [start, start + bytes) makes the interrupted function return 1 (in EAX)
/// to the address on top of its stack; XMM registers and MXCSR stay as the exception left them. Any other
/// SIGFPE goes to the handler that was there before. One range per process.
void catch_thunk_fpe(const uint8_t* start, size_t bytes);

}  // namespace vireo::interp
