// The engine table: which engines there are, and which one `auto` takes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/engine.h"
#include "core/options.h"
#include "core/result.h"

namespace vireo {

struct EngineChoice {
  std::string name;
  std::string reason;
  Result<std::unique_ptr<ExecutionEngine>> (*make)(CpuContext&, const MachineConfig&) = nullptr;
};

/// What config.engine, an engine's name or "auto", comes to. A name that there is not, wrong options of any
/// engine, and hardware assist that this host has not got are Errors.
Result<EngineChoice> choose_engine(const MachineConfig& config);

/// All engines, for messages: "bt, interp".
std::string engine_names();

}  // namespace vireo
