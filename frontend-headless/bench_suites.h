// The suites of `vireo bench`, each on one engine.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "frontend-headless/bench.h"
#include "frontend-headless/bench_rows.h"

namespace vireo {

/// `engine`: of Vireo, or "native", "qemu-tcg", "qemu-kvm". An Error if nothing can be measured with it.
using Suite = Result<std::vector<BenchRow>> (*)(const std::string& engine, const BenchOptions& options,
                                                const BenchHost& host);

/// Single operations, by our bare-metal guest (bios/nano.asm); natively those that a program can do.
Result<std::vector<BenchRow>> run_nano_suite(const std::string& engine, const BenchOptions& options,
                                             const BenchHost& host);
/// Programs in a Linux guest (bench/guest).
Result<std::vector<BenchRow>> run_macro_suite(const std::string& engine, const BenchOptions& options,
                                              const BenchHost& host);

/// Natively: call and return, CPUID, RDTSC, a store into the code that follows.
std::vector<BenchRow> run_native_operations(const BenchOptions& options, const BenchHost& host);

/// Whether a row is asked for.
bool is_wanted(const BenchOptions& options, std::string_view row);

}  // namespace vireo
