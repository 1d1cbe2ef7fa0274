// The native oracles, by name.
#pragma once

#include <memory>
#include <string>

#include "tests/differential/native_cpu.h"

namespace vireo::diff {

inline constexpr const char* kOracleNames = "auto, compat, long";

/// "compat", "long", or "auto": compat where the host can, else long. A usage error for any other name.
Result<std::unique_ptr<NativeCpu>> make_native_cpu(const std::string& name);

}  // namespace vireo::diff
