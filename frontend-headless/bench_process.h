// Programs whose output a benchmark reads.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace vireo {

/// Runs a program, by PATH, with each line of its standard output to `on_line`; its exit status. It is ended
/// when it prints nothing for `silence_s`. An Error if it cannot be started.
Result<int> run_program(const std::vector<std::string>& command, double silence_s,
                        const std::function<void(std::string_view line)>& on_line);

/// QEMU's PC without a display, its serial line on standard output. `accelerator`: tcg, kvm.
std::vector<std::string> qemu_command(const std::string& accelerator, unsigned memory_mib);

/// A file with the given contents, gone with this object.
class TemporaryFile {
 public:
  static Result<TemporaryFile> create(std::string_view contents);
  TemporaryFile(TemporaryFile&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile();
  const std::string& path() const { return path_; }

 private:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace vireo
