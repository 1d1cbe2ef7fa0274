// What a run leaves behind: the text screen, counters, the final state.
#pragma once

#include <chrono>

#include "core/machine/machine.h"
#include "core/result.h"
#include "frontend-headless/run_options.h"

namespace vireo {

/// Writes what the options ask for. A file that cannot be written is an Error; the others are still written.
Result<void> write_reports(const RunOptions& options, Machine& machine,
                           std::chrono::duration<double> elapsed);

/// Checks before the run that the report files can be written, without changing files that exist.
Result<void> check_report_files(const RunOptions& options);

}  // namespace vireo
