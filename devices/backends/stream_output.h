// Output to a file, pipe or terminal that the guest's bytes must not be lost on.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace vireo {

/// Writes everything, waiting where the reader is slow. After the first error (reader gone, disk full), which
/// is said once, output is dropped.
class StreamOutput {
 public:
  StreamOutput(int fd, std::string name);
  void write(std::span<const uint8_t> bytes);

 private:
  int fd_;
  std::string name_;
  bool broken_ = false;
};

}  // namespace vireo
