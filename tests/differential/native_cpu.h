// The oracle: runs one user-mode instruction on the host CPU, inside this 64-bit process. What the CPU is
// given for a case, and in which mode, is the affair of its two kinds: compat_cpu.h and long_mode_cpu.h.
//
// A run is two signals. INT3 in run() enters the handler, which puts the case's registers, x87/SSE state, and
// RIP (CS and SS, if the case has segments of its own) into the signal frame and lets sigreturn load them.
// What ends the run is the INT3 that fills the code pages, the instruction's own exception, or the fault of
// fetching from where it jumped to; that signal's handler copies the state out of its frame and puts run()'s
// own registers back.
//
// One NativeCpu per process, used by one thread. Its signals are SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL and
// SIGALRM; those that are not about code that it runs go to the handlers that were there before it, which is
// why engines with handlers of their own must be made first.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/isa/insn_row.h"
#include "core/result.h"
#include "tests/differential/case_generator.h"
#include "tests/differential/cpu_image.h"
#include "tests/differential/left_out.h"

namespace vireo::diff {

/// Binds this thread to the CPU that it runs on; gives the LSL of kCpuNumber: the host kernel's secret about
/// that CPU.
uint32_t stay_on_this_cpu();

/// That the system call `what` has failed, with errno.
Error host_cannot(const char* what);

/// A case's instruction for the host CPU. It ends where the case's own ends, so that the next EIP and
/// relative branches are the same, and may begin earlier.
struct NativeCode {
  LeftOut left_out = LeftOut::kNot;
  uint32_t linear = 0;
  std::vector<uint8_t> bytes;

  static NativeCode for_case(const Case& c, std::vector<uint8_t> bytes);
};

class NativeCpu {
 public:
  virtual ~NativeCpu();
  NativeCpu(const NativeCpu&) = delete;
  NativeCpu& operator=(const NativeCpu&) = delete;

  /// As in --native.
  virtual std::string_view name() const = 0;
  /// What cases are worth making for it.
  virtual CaseKind case_kind() const = 0;
  /// What run() is to be given, or why the case cannot be run.
  virtual NativeCode code_for(const isa::InsnRow& row, const Case& c) const = 0;

  /// kMemoryBytes: the arena's pages, writable whatever the guest may do with them.
  std::span<uint8_t> memory() { return {memory_, memory_bytes_}; }

  /// Runs the instruction at c.before.eip; the outcome is told in the case's own addresses. `code`:
  /// code_for(), not left out. It stands in memory() only while it runs. The segment registers must hold
  /// selectors that can be loaded.
  Outcome run(const Case& c, const NativeCode& code);

  /// How often the harness itself was without its FS base, where nothing it does explains that.
  static uint64_t fs_bases_lost();

 protected:
  /// `loads_segments`: the case's selectors go into the segment registers, CS included. If not, those stay
  /// what they are in this process, and the outcome has the case's.
  explicit NativeCpu(bool loads_segments) : loads_segments_(loads_segments) {}
  /// Maps the arena and takes the signals.
  Result<void> begin();
  /// From before.eip on, whatever raises it.
  Outcome run_to_exception(const CpuImage& before);

 private:
  const bool loads_segments_;
  uint8_t* memory_ = nullptr;
  size_t memory_bytes_ = 0;
};

}  // namespace vireo::diff
