// Puts instructions into a Program: the few that programs are held together with. All work on 32-bit operands
// and addresses in 16-bit code, too.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "tests/differential/program.h"

namespace vireo::diff {

class ProgramWriter {
 public:
  explicit ProgramWriter(Program& program) : program_(program) {}

  bool wide() const { return program_.code_size == isa::CodeSize::k32; }
  /// Bytes of a near code pointer: the operand size of the code.
  uint8_t pointer_size() const { return wide() ? 4 : 2; }

  void put(std::vector<uint8_t> bytes);
  /// With the prefix that makes the operand size 4 in 16-bit code.
  void put32(std::initializer_list<uint8_t> bytes) { put(with_prefixes(bytes, kSize)); }
  /// As put32(), for instructions with a memory operand (in DS).
  void put32_memory(std::initializer_list<uint8_t> bytes) { put(with_prefixes(bytes, kSize | kAddress)); }
  /// MOV r32, imm32.
  void set(unsigned r, uint32_t value);
  void push(uint32_t value);
  /// An instruction with the memory operand SS:offset (/digit, or a register in its place) and then
  /// `immediate`.
  void with_stack_memory(uint8_t opcode, unsigned digit, uint32_t offset,
                         std::vector<uint8_t> immediate = {});

  Label new_label();
  void bind(Label label) { program_.labels[label] = static_cast<uint32_t>(program_.items.size()); }
  Label here();

  void jump(Label to);
  void jump_if(uint8_t condition, Label to);
  void call(Label to);
  /// LOOPNE, LOOPE, LOOP, JCXZ (E0 to E3) on ECX or, with `narrow`, CX.
  void loop(uint8_t opcode, Label to, bool narrow);
  /// JMP or CALL ptr16:16/32 (EA, 9A).
  void far_transfer(uint8_t opcode, uint16_t selector, Label to);
  void set_to_address(unsigned r, Label of);
  void push_address(Label of);
  /// JMP (/4) or CALL (/2) through the pointer at SS:[offset + r * pointer_size()].
  void through_table(unsigned digit, unsigned r, uint32_t offset);

 private:
  /// Which prefixes 16-bit code needs; kStack: also an SS override.
  enum Prefixes : unsigned { kSize = 1, kAddress = 2, kStack = 4 };
  std::vector<uint8_t> with_prefixes(std::initializer_list<uint8_t> bytes, unsigned prefixes) const;
  ProgramItem& put_target(std::vector<uint8_t> opcode, ProgramItem::Target target, Label label, uint8_t size);

  Program& program_;
};

}  // namespace vireo::diff
