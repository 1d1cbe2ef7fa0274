// The engines that tests run guest code on, by name. "step" is the interpreter one instruction at a time;
// "bt" translates everything at first sight, "bt-warm" what it meets the third time, into a cache that is
// soon full, "bt-single" one instruction a block, "bt-off" with all optimisations off, "bt-window" with
// windows, "bt-trust" with probes that trust, both from the first instruction.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "core/engine.h"

namespace vireo::testing {

/// The oracle first.
std::span<const std::string_view> engine_names();
bool is_engine(std::string_view name);
/// "step, interp": for messages.
std::string engine_name_list();

/// An engine for a CPU on a bench. `name` is one of engine_names() (CHECK).
std::unique_ptr<ExecutionEngine> make_engine(std::string_view name, CpuContext& context);

}  // namespace vireo::testing
