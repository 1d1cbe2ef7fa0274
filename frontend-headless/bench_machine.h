// Runs a benchmark guest in this process and takes the lines that it prints on its serial line, each with the
// engine's counters at that moment.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "core/machine/machine.h"

namespace vireo {

using CounterValues = std::map<std::string, uint64_t>;

/// A guest's line without its end. `counters` gives the engine's counters now.
using GuestLine = std::function<void(std::string_view line, const std::function<CounterValues()>& counters)>;

/// Until the guest ends, or prints nothing for `silence_s`: one sentence that says so. `io` without serial
/// lines.
Result<void> run_bench_machine(const MachineConfig& config, MachineIo io, double silence_s,
                               const GuestLine& on_line);

/// A disk whose contents are given; what is written to it is forgotten.
std::unique_ptr<BlockBackend> make_memory_disk(std::span<const uint8_t> contents);

/// The counters that have changed most between two looks, each divided by `operations`; those below a
/// hundredth of an operation do not count.
std::map<std::string, double> explain(const CounterValues& before, const CounterValues& after,
                                      double operations);

}  // namespace vireo
