// `--trace code`: guest code and the host code made for it, side by side.
#pragma once

#include <span>

#include "core/isa/insn.h"
#include "translator/emitter.h"

namespace vireo::translator {

/// One trace line for each host instruction, with the guest instruction that it is for in the first column of
/// the first. `block` has been published; `parts` are in the order of their offsets.
void trace_code(const Block& block, isa::CodeSize code_size, std::span<const ScannedInsn> insns,
                std::span<const CodePart> parts, const Trampolines& trampolines);

}  // namespace vireo::translator
