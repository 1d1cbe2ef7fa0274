#include "tests/differential/oracles.h"

#include <fmt/format.h>

#include "tests/differential/compat_cpu.h"
#include "tests/differential/long_mode_cpu.h"

namespace vireo::diff {

Result<std::unique_ptr<NativeCpu>> make_native_cpu(const std::string& name) {
  if (name != "auto" && name != "compat" && name != "long")
    return Error{fmt::format("--native {}: there are {}", name, kOracleNames), ExitStatus::kUsage};
  if (name != "long") {
    auto compat = CompatCpu::create();
    if (compat) return std::unique_ptr<NativeCpu>(compat.take());
    if (name == "compat") return compat.error();
    fmt::print("natively only as 64-bit code: {}\n", compat.error().message);
  }
  auto long_mode = LongModeCpu::create();
  if (!long_mode) return long_mode.error();
  return std::unique_ptr<NativeCpu>(long_mode.take());
}

}  // namespace vireo::diff
