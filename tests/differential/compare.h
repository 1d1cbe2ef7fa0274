// What differs between two outcomes of one case.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/differential/cpu_image.h"

namespace vireo::diff {

/// One thing that differs. Keys: kind vector error cr2 eip eax .. edi cs .. gs, flags cf pf af zf sf tf if df
/// of nt ac id ..., fcw fsw.ie .. fsw.top, ftw st0 .. st7 xmm0 .. xmm7 mxcsr, mem.
struct Difference {
  std::string key;
  std::string native;
  std::string engine;
};

/// Empty if the outcomes are the same. `memory`: the arena after each; `pristine`: before.
std::vector<Difference> compare(const Outcome& native, const Outcome& engine,
                                std::span<const uint8_t> native_memory,
                                std::span<const uint8_t> engine_memory);

/// True if there is nothing for compare() to find; fast.
bool same(const Outcome& native, const Outcome& engine, std::span<const uint8_t> native_memory,
          std::span<const uint8_t> engine_memory);

/// A table of them.
std::string registers(const CpuImage& image);

/// Both outcomes side by side, the differing lines starred, with the state before.
std::string side_by_side(const CpuImage& before, const Outcome& native, const Outcome& engine);

}  // namespace vireo::diff
