// What `vireo bench` measures: rows, and who measured them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace vireo {

/// One row on one engine.
struct BenchRow {
  std::string suite;   ///< "nano", "macro"
  std::string name;    ///< of the operation, or of the program
  std::string engine;  ///< "interp", "bt", "hw", "native", "qemu-tcg", "qemu-kvm"
  std::string unit;    ///< of the samples: "cycles" of the host's TSC for an operation, "ms" for a program
  std::vector<double> samples;
  /// What changed most of the engine's counters, for each operation (nano) or repetition (macro).
  std::map<std::string, double> counters;
  std::string skipped;  ///< why there are no samples

  double median() const;
  /// Half of the distance between the quartiles, as a part of the median.
  double spread() const;
};

/// Who measures, as a column of the table.
struct BenchHost {
  std::string cpu, kernel, mitigations, kvm_module;
  double tsc_hz = 0;
  /// Of this machine.
  static BenchHost here();
};

}  // namespace vireo
