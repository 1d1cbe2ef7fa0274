// vireo bench: the same guests on every engine, side by side.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace vireo {

struct BenchOptions {
  std::string suites = "nano,macro";
  std::string engines;  ///< empty: native, and all that this host has
  std::string only;     ///< rows; empty: all
  unsigned samples = 5;
  unsigned sample_us = 10'000;  ///< of a nano sample, at least
  std::string kernel;           ///< for macro: a Linux bzImage for i386
  std::string guest;            ///< for macro: vireo-bench-guest
  std::string json, csv, chart;
  bool compare_qemu = false;
};

void add_bench_options(CLI::App& app, BenchOptions& options);
int bench_command(const BenchOptions& options);

}  // namespace vireo
