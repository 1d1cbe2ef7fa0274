// Bytes that have come from the host and that the guest has not read yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

namespace vireo {

class InputBuffer {
 public:
  enum class Fill : uint8_t { kBytes, kNothing, kClosed };

  /// Room for more: wait for the descriptor. Without this check a guest that reads nothing would spin the
  /// poll loop.
  bool has_room() const { return bytes_.size() < kCapacity; }
  /// Takes what `fd` has now; never waits, whatever the mode of `fd`.
  Fill fill(int fd);
  void push(uint8_t byte) { bytes_.push_back(byte); }
  bool take(uint8_t& byte);
  void clear() { bytes_.clear(); }

 private:
  static constexpr size_t kCapacity = 4096;
  std::deque<uint8_t> bytes_;
};

}  // namespace vireo
