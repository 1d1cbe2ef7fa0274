// The engine table: which engines there are, and which one `auto` takes.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/engine.h"
#include "core/result.h"

namespace vireo {

struct EngineChoice {
  std::string name;
  std::string reason;
  Result<std::unique_ptr<ExecutionEngine>> (*make)(CpuContext&);
};

/// `requested` is an engine's name or "auto". A name that this build does not have is an Error.
Result<EngineChoice> choose_engine(std::string_view requested);

/// All engines, for messages: "interp".
std::string engine_names();

}  // namespace vireo
