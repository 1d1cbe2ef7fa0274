// Memory for small generated functions: one memfd, mapped writable here and executable there; nothing is ever
// both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vireo::interp {

/// Lives as long as the process, and so does what is in it. Not thread-safe: the caller locks.
class ThunkArena {
 public:
  /// Address space; memory is only used as far as it is filled. Enough for every native instruction of 16-
  /// and 32-bit code in every register form with every immediate (about 80 MB).
  static constexpr size_t kBytes = size_t{256} << 20;

  ThunkArena();
  ThunkArena(const ThunkArena&) = delete;
  ThunkArena& operator=(const ThunkArena&) = delete;

  /// Copies `code` (position-independent) in; returns where it executes, 16-byte aligned.
  const uint8_t* add(std::span<const uint8_t> code);
  const uint8_t* executable_base() const { return executable_; }

 private:
  uint8_t* writable_;
  const uint8_t* executable_;
  size_t used_ = 0;
};

}  // namespace vireo::interp
