// The engines that tests run guest code on, by name. "step" is the interpreter one instruction at a time;
// "bt" translates everything at first sight, "bt-warm" what it meets the third time, into a cache that is
// soon full, "bt-single" one instruction a block, "bt-off" with all optimisations off, "bt-window" with
// windows, "bt-trust" with probes that trust, both from the first instruction.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine.h"
#include "core/result.h"

namespace vireo::testing {

inline constexpr int kSkipped = 77;  ///< exit status: ctest's SKIP_RETURN_CODE

/// The oracle first.
std::span<const std::string_view> engine_names();
bool is_engine(std::string_view name);
/// "step, interp": for messages.
std::string engine_name_list();

/// Whether this host has what an engine's name promises.
Result<void> engine_possible(std::string_view name);
/// Takes out of `names` those that are not possible, each with a line to stdout that says why.
void drop_impossible_engines(std::vector<std::string>& names);

/// An engine for a CPU on a bench. `name` is one of engine_names() and possible (CHECK).
std::unique_ptr<ExecutionEngine> make_engine(std::string_view name, CpuContext& context);

}  // namespace vireo::testing
