// CHECK: an invariant of Vireo itself, tested in release builds too. Never for guest or host misbehaviour.
#pragma once

namespace vireo {

/// Prints the failed condition and ends the process with status 7 (internal error).
[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace vireo

#define CHECK(condition)                               \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::vireo::check_failed(#condition, __FILE__, __LINE__))
