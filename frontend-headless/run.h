// `vireo run`.
#pragma once

#include "core/types.h"
#include "frontend-headless/run_options.h"

namespace vireo {

/// Runs a machine to its end; prints one sentence on stderr for whatever went wrong. The result is the
/// process's exit status: an ExitStatus, or the --debug-exit value.
int run_command(RunOptions& options, bool stdout_is_closed);

}  // namespace vireo
