#include "core/interp/form.h"

#include <algorithm>
#include <string_view>

namespace vireo::interp {

namespace {

constexpr std::string_view kRowOperands[] = {
#define ROW(name, encoding, operands, ...) operands,
#include "core/isa/insn_table.inc"
};

/// What an operand contributes to the kind of form.
char operand_class(std::string_view operand) {
  if (operand == "AL" || operand == "rAX" || operand == "eAX") return 'A';
  if (operand == "CL") return 'C';
  if (operand == "1") return '1';
  switch (operand.front()) {
    case 'E':
    case 'M':
    case 'R':
      return 'E';
    default:
      return operand.front();
  }
}

unsigned size_of(std::string_view operand, const isa::Insn& insn) {
  if (operand == "AL" || operand == "CL") return 1;
  if (operand == "rAX") return insn.operand_size;
  if (operand == "eAX") return std::min<unsigned>(insn.operand_size, 4);
  if (operand == "1" || operand == "DX" || operand.size() < 2) return 0;
  switch (operand[1]) {
    case 'b':
      return 1;
    case 'w':
      return 2;
    case 'd':
      return 4;
    case 'q':
      return 8;
    case 'v':
      return insn.operand_size;
    case 'z':
      return std::min<unsigned>(insn.operand_size, 4);
    case 'y':
      return insn.operand_size == 8 ? 8 : 4;
    default:
      return 0;
  }
}

FormKind kind_of(std::string_view classes) {
  struct Entry {
    std::string_view classes;
    FormKind kind;
  };
  static constexpr Entry kEntries[] = {
      {"", FormKind::kNone},
      {"E", FormKind::kRm},
      {"EG", FormKind::kRmReg},
      {"GE", FormKind::kRegRm},
      {"EI", FormKind::kRmImm},
      {"GEI", FormKind::kRegRmImm},
      {"EGI", FormKind::kRmRegImm},
      {"EGC", FormKind::kRmRegCl},
      {"E1", FormKind::kRmOne},
      {"EC", FormKind::kRmCl},
      {"AI", FormKind::kAccumulatorImm},
      {"AO", FormKind::kAccumulatorMoffs},
      {"OA", FormKind::kMoffsAccumulator},
      {"Z", FormKind::kOpcodeReg},
      {"ZI", FormKind::kOpcodeRegImm},
      {"ZA", FormKind::kOpcodeRegAccumulator},
      {"I", FormKind::kImm},
      {"J", FormKind::kRelative},
  };
  for (const Entry& entry : kEntries) {
    if (entry.classes == classes) return entry.kind;
  }
  return FormKind::kOther;
}

}  // namespace

Form form_of(const isa::Insn& insn) {
  std::string_view rest = kRowOperands[insn.row];
  char classes[4];
  unsigned count = 0;
  Form form;
  while (!rest.empty() && count < 4) {
    const size_t comma = rest.find(", ");
    const std::string_view operand = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 2);
    if (count == 0) form.size = static_cast<uint8_t>(size_of(operand, insn));
    if (count == 1) form.source_size = static_cast<uint8_t>(size_of(operand, insn));
    classes[count++] = operand_class(operand);
  }
  form.kind = kind_of({classes, count});
  return form;
}

}  // namespace vireo::interp
