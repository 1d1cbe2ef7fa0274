// How fast the decoder is on real code.
#pragma once

namespace vireo::isa {

/// Decodes the executable segments of this process's shared libraries (the C and C++ libraries among them)
/// from end to end, repeatedly, and prints instructions per second of
/// CPU time, the best of ten rounds.
void print_throughput();

}  // namespace vireo::isa
