// The fixed code around blocks: entering and leaving translated code, TLB fills, loading the FPU state.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "translator/abi.h"

namespace vireo::translator {

/// Host addresses in the code buffer.
struct Trampolines {
  /// void enter(Frame*): a C++ function. Runs translated code from frame->entry, FlagState::kSaved, until it
  /// leaves.
  const uint8_t* enter = nullptr;
  /// Called (so that the return address says where from) or jumped to with that address in r10: leave.
  const uint8_t* exit_call_saved = nullptr;
  const uint8_t* exit_call_eflags = nullptr;
  const uint8_t* exit_jump_saved = nullptr;
  const uint8_t* exit_jump_eflags = nullptr;
  /// Jumped to: an indirect branch to the EIP in r10 whose target is not in the jump cache. Flags saved.
  const uint8_t* exit_indirect = nullptr;
  /// Called with an InterpretedInsn's address in r10 and flags saved: the interpreter executes it. Returns
  /// with flags saved when the next instruction of the block may follow; else goes on in another block, or
  /// leaves with ExitKind::kDone.
  const uint8_t* interpret = nullptr;
  /// The same for SYSENTER and SYSEXIT, at a block's end.
  const uint8_t* system_call = nullptr;
  /// Called with the linear address in r10 and flags saved. Returns with r11d 1 when the TLB permits the
  /// access now, else 0. Keeps all guest registers and r10.
  const uint8_t* fill_read = nullptr;
  const uint8_t* fill_write = nullptr;
  /// Called with flags saved and the linear address in r10 of bytes, at most 16, that go on in the next page.
  /// Returns with a delta in r11 that leads to a copy of them, or 0 if not both pages may be read directly.
  /// Keeps everything else.
  const uint8_t* read_across = nullptr;
  /// Called with flags saved and what DescriptorCache calls a key in r10, with the register's number: r11d is
  /// 1 when it has been loaded and nothing that the block was translated for has changed; else the
  /// interpreter has to do it (again). Keeps all guest registers and host::kValue.
  const uint8_t* load_segment = nullptr;
  /// The same for VERR and VERW: ZF of the saved flags is the result.
  const uint8_t* verify_segment = nullptr;
  /// The same two, by the DescriptorCache if it has that; a load of each segment register but CS and SS.
  std::array<const uint8_t*, 6> load_known_segment{};
  const uint8_t* verify_known_segment = nullptr;
  /// Called as fill_read, with how many instructions from RDTSC on the countdown has counted in r10: r11d is
  /// 1 when the TSC is in EDX:EAX.
  const uint8_t* read_tsc = nullptr;
  /// Called with fpu_unit bits in r10 and flags saved. Returns with r11d 1 when the guest's state is in the
  /// host's units now and all these may execute, else 0. Keeps all guest registers.
  const uint8_t* load_fpu = nullptr;
  /// From here on, up to `host_registers_end`, r15 is the C++ code's (FaultRange).
  const uint8_t* host_registers = nullptr;
  const uint8_t* host_registers_end = nullptr;
  uint64_t bytes = 0;  ///< of the buffer that they take
};

/// C++ functions that the trampolines call. Return false to leave translated code at that place.
struct Helpers {
  bool (*fill_read)(Frame* frame, uint64_t linear);
  bool (*fill_write)(Frame* frame, uint64_t linear);
  bool (*load_segment)(Frame* frame, uint64_t what);
  bool (*verify_segment)(Frame* frame, uint64_t what);
  bool (*read_tsc)(Frame* frame, uint64_t remaining);
  bool (*load_fpu)(Frame* frame, uint64_t units);  ///< fills frame->fx, sets fpu_ready
  /// 0: leave; 1: go on behind the instruction; else: go on at this host address, with an empty pair stack.
  uint64_t (*interpret)(Frame* frame, uint64_t insn);
  uint64_t (*system_call)(Frame* frame, uint64_t insn);

  CpuState* cpu;
  interp::Interp::SegmentView* views;  ///< the interpreter's own
};

/// Where in Frame::saved a helper that is called as fill_read finds the flags and guest registers.
inline constexpr size_t kSavedFlags = 0, kSavedEdx = 2, kSavedEax = 5;

/// Code for a buffer whose first byte executes at `base`.
std::vector<uint8_t> make_trampolines(const uint8_t* base, const Helpers& helpers, Trampolines& out);

}  // namespace vireo::translator
