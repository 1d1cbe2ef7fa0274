// The oracle: runs one 16- or 32-bit user-mode instruction on the host CPU, inside this 64-bit process.
//
// A run is two signals. INT3 in run() enters the handler, which puts the case's registers, x87/SSE state, CS,
// SS and EIP into the signal frame and lets sigreturn load them: the CPU is then in compatibility mode (CS
// 0x23 or a code segment of the LDT). What ends the run is the INT3 that fills the code pages, the
// instruction's own exception, or the fault of fetching from where it jumped to; that signal's handler copies
// the state out of its frame and puts run()'s own registers back.
//
// Loading FS in 32-bit code destroys the thread's FS base (its TLS), so the handler's entry stub restores it
// before any C++ code runs. One NativeCpu per process, used by one thread. Its signals are SIGTRAP, SIGSEGV,
// SIGBUS, SIGFPE, SIGILL and SIGALRM; those that are not about code that it runs go to the handlers that were
// there before it, which is why engines with handlers of their own must be made first.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/result.h"
#include "tests/differential/cpu_image.h"

namespace vireo::diff {

/// Binds this thread to the CPU that it runs on; gives the LSL of kCpuNumber: the host kernel's secret about
/// that CPU.
uint32_t stay_on_this_cpu();

class NativeCpu {
 public:
  /// Fails where the host cannot run 16- and 32-bit code in a 64-bit process.
  static Result<std::unique_ptr<NativeCpu>> create();
  ~NativeCpu();
  NativeCpu(const NativeCpu&) = delete;
  NativeCpu& operator=(const NativeCpu&) = delete;

  /// kMemoryBytes: the arena's pages, writable whatever the guest may do with them.
  std::span<uint8_t> memory() { return {memory_, memory_bytes_}; }

  /// Runs the instruction of `length` bytes at before.eip. The segment registers must hold selectors that can
  /// be loaded.
  Outcome run(const CpuImage& before, unsigned length);

  /// Runs code from before.eip until something raises an exception, INT3 included; the outcome is always that
  /// exception as its handler finds it, or kHung. The caller vouches that the code makes no system call.
  Outcome run_program(const CpuImage& before);

  /// How often the harness itself was without its FS base, where nothing it does explains that.
  static uint64_t fs_bases_lost();

 private:
  NativeCpu() = default;
  uint8_t* memory_ = nullptr;
  size_t memory_bytes_ = 0;
};

}  // namespace vireo::diff
