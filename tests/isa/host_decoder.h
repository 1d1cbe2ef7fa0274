// What the host CPU makes of a string of bytes: the judge where Capstone and the decoder disagree.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/isa/insn.h"

namespace vireo::isa {

struct HostVerdict {
  enum class Kind : uint8_t {
    kNone,  ///< the experiment failed (no modify_ldt(2), a process that died)
    kValid,
    kUndefined,  ///< #UD
    kTooLong,    ///< more than 15 bytes, or #GP whatever follows
  };
  Kind kind = Kind::kNone;
  uint8_t length = 0;  ///< of the instruction; with kUndefined, how many bytes the CPU wanted to see

  std::string text() const;
};

/// Executes the bytes once, in a child process, with the code ending at a page that cannot be executed: the
/// first length at which the CPU does not ask for more is the instruction's. Takes a fraction of a
/// millisecond. Instructions are really executed, so the child may be lost, but it has no files to harm:
/// system calls get number -1.
HostVerdict host_decode(std::span<const uint8_t> bytes, CodeSize code_size);

}  // namespace vireo::isa
