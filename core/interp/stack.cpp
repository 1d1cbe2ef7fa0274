// PUSH POP PUSHA POPA ENTER LEAVE.
#include "core/interp/operands.h"

namespace vireo::interp {

namespace {

template <class T>
uint64_t stack_offset(const Interp& interp, int64_t elements) {
  return (interp.cpu.reg(Gpr::kRsp) + static_cast<uint64_t>(elements) * sizeof(T)) & interp.stack_mask();
}

template <class T, class Source>
void push(Interp& interp, const Insn& insn) {
  interp.push(sizeof(T), Source::template get<T>(interp, insn));
}

template <class T, class Dest>
void pop(Interp& interp, const Insn& insn) {
  if constexpr (std::is_same_v<Dest, Memory>) {
    // The address is computed with the stack pointer already moved (SDM 2B, POP), but a fault must find it
    // unmoved.
    const uint64_t old_rsp = interp.cpu.reg(Gpr::kRsp);
    const T value = static_cast<T>(interp.pop(sizeof(T)));
    const uint64_t new_rsp = interp.cpu.reg(Gpr::kRsp);
    const uint64_t offset = interp.effective_address(insn);
    interp.cpu.reg(Gpr::kRsp) = old_rsp;
    interp.write<T>(insn.segment, offset, value);
    interp.cpu.reg(Gpr::kRsp) = new_rsp;
  } else {
    Dest::template set<T>(interp, insn,
                          static_cast<T>(interp.pop(sizeof(T))));  // POP SP: the value popped stays
  }
}

// PUSHA and POPA go on as far as they get: a fault finds memory written, or registers loaded, up to it, but
// the stack pointer unmoved, so that they can run again.
template <class T>
void pusha(Interp& interp, const Insn&) {
  for (int i = 0; i < 8; ++i) {
    interp.write<T>(SegReg::kSs, stack_offset<T>(interp, -1 - i),
                    static_cast<T>(interp.cpu.gpr[static_cast<unsigned>(i)]));
  }
  interp.set_stack_pointer(stack_offset<T>(interp, -8));
}

template <class T>
void popa(Interp& interp, const Insn& insn) {
  for (int i = 0; i < 8; ++i) {
    const T value = interp.read<T>(SegReg::kSs, stack_offset<T>(interp, i));
    if (i != 3) interp.set_reg<T>(static_cast<unsigned>(7 - i), insn, value);
  }
  interp.set_stack_pointer(stack_offset<T>(interp, 8));
}

/// SDM 2A, ENTER. Registers change last: pushes below the stack pointer that a later fault makes void are
/// invisible.
template <class T>
void enter(Interp& interp, const Insn& insn) {
  const uint64_t mask = interp.stack_mask();
  const unsigned level = insn.imm2 & 31;
  uint64_t& rbp = interp.cpu.reg(Gpr::kRbp);
  uint64_t sp = interp.cpu.reg(Gpr::kRsp);
  const auto push = [&](T value) {
    sp -= sizeof(T);
    interp.write<T>(SegReg::kSs, sp & mask, value);
  };
  push(static_cast<T>(rbp));
  // With a 16-bit stack the borrow out of SP reaches the upper half of the frame pointer (as on silicon),
  // though not of ESP.
  const uint64_t frame = sp;
  uint64_t source = rbp;
  for (unsigned i = 1; i < level; ++i) {
    source -= sizeof(T);
    push(interp.read<T>(SegReg::kSs, source & mask));
  }
  if (level != 0) push(static_cast<T>(frame));
  sp -= static_cast<uint16_t>(insn.imm);
  // The processor checks that the new top of stack can be written.
  interp.probe_write(SegReg::kSs, sp & mask, sizeof(T));
  interp.set_reg<T>(5, insn, static_cast<T>(frame));
  interp.set_stack_pointer(sp & mask);
}

template <class T>
void leave(Interp& interp, const Insn& insn) {
  const uint64_t offset = interp.cpu.reg(Gpr::kRbp) & interp.stack_mask();
  const T frame = interp.read<T>(SegReg::kSs, offset);
  interp.set_stack_pointer(offset + sizeof(T));
  interp.set_reg<T>(5, insn, frame);
}

}  // namespace

namespace bind {

Handler PUSH(const Insn& insn) {
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    switch (form_of(insn).kind) {
      case FormKind::kOpcodeReg:
        return push<T, OpcodeRegister>;
      case FormKind::kImm:
        return push<T, Immediate>;
      default:
        return insn.is_memory() ? push<T, Memory> : push<T, RmRegister>;
    }
  });
}

Handler POP(const Insn& insn) {
  return with_word_size(insn.operand_size, [&]<class T>(T) -> Handler {
    if (form_of(insn).kind == FormKind::kOpcodeReg) return pop<T, OpcodeRegister>;
    return insn.is_memory() ? pop<T, Memory> : pop<T, RmRegister>;
  });
}

Handler PUSHA(const Insn& insn) {
  return insn.operand_size == 2 ? pusha<uint16_t> : pusha<uint32_t>;
}
Handler POPA(const Insn& insn) {
  return insn.operand_size == 2 ? popa<uint16_t> : popa<uint32_t>;
}

Handler ENTER(const Insn& insn) {
  return with_word_size(insn.operand_size, []<class T>(T) -> Handler { return enter<T>; });
}
Handler LEAVE(const Insn& insn) {
  return with_word_size(insn.operand_size, []<class T>(T) -> Handler { return leave<T>; });
}

}  // namespace bind

}  // namespace vireo::interp
