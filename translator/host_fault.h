// Signals in translated code. Host exceptions: SIGSEGV of the countdown's poll or of an access, SIGFPE of a
// division; the handler makes an access possible (FaultRange::try_again) or sends the thread to an exit
// trampoline with the faulting address. And Attention's signal, which makes the countdown run out.
#pragma once

#include <ucontext.h>

#include <cstdint>

#include "core/result.h"

namespace vireo::translator {

/// SIGSEGV in translated code.
struct AccessFault {
  const uint8_t* host;  ///< the instruction
  uint64_t address;     ///< that it could not access
  bool write;           ///< as the host says (SDM 3A, 4.7), of what an instruction accesses in two places
  uint64_t countdown;   ///< kCountdown
  uint64_t delta;       ///< kDelta, in and out
};

/// Translated code of one engine, as the handlers know it.
struct FaultRange {
  uint64_t start = 0, end = 0;  ///< executable addresses of blocks
  uint64_t pair_guard = 0;      ///< the page that calls reach when the pair stack is full
  uint64_t pair_rsp = 0;        ///< where it starts; what it holds are hints, so it may be emptied any time
  /// Executable addresses between them at which r15 is the C++ code's; anywhere else it is the countdown, or
  /// nobody needs it any more.
  uint64_t host_registers_start = 0, host_registers_end = 0;
  uint64_t* countdown = nullptr;        ///< Frame::countdown
  const uint8_t* exit_saved = nullptr;  ///< for a fault where the flags are in rax
  const uint8_t* exit_eflags = nullptr;
  /// Whether the flags are in EFLAGS at this host address. Called in signal context.
  bool (*flags_in_eflags)(void* owner, const uint8_t* host) = nullptr;
  /// True to try again, with kDelta as it is then. Called in signal context, but on behalf of translated
  /// code, so that it may do what any function called from there may.
  bool (*try_again)(void* owner, AccessFault& fault) = nullptr;
  void* owner = nullptr;
};

/// Makes the next poll leave, wherever `context` has been interrupted. In signal context.
void leave_soon(const FaultRange& range, ucontext_t& context);

/// Installs the process's handlers and the thread's signal stack. Fails if the host does not have them, and
/// faults of translated code had better not be many.
Result<void> prepare_fault_handling();

/// While it lives, faults of this thread in `range` leave translated code, after prepare_fault_handling() if
/// need be; other faults go where they went before.
class FaultScope {
 public:
  explicit FaultScope(const FaultRange& range);
  ~FaultScope();
  FaultScope(const FaultScope&) = delete;
  FaultScope& operator=(const FaultScope&) = delete;

 private:
  const FaultRange* outer_;
};

}  // namespace vireo::translator
