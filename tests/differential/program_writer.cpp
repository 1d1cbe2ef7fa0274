#include "tests/differential/program_writer.h"

#include <bit>

namespace vireo::diff {
namespace {

constexpr uint8_t kOperandSize = 0x66, kAddressSize = 0x67, kSsOverride = 0x36;

void append32(std::vector<uint8_t>& bytes, uint32_t value) {
  for (unsigned i = 0; i < 4; i++) bytes.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

}  // namespace

std::vector<uint8_t> ProgramWriter::with_prefixes(std::initializer_list<uint8_t> bytes,
                                                  unsigned prefixes) const {
  std::vector<uint8_t> out;
  out.reserve(3 + bytes.size());
  if (prefixes & kStack) out.push_back(kSsOverride);
  if (prefixes & kSize && !wide()) out.push_back(kOperandSize);
  if (prefixes & kAddress && !wide()) out.push_back(kAddressSize);
  out.insert(out.end(), bytes);
  return out;
}

void ProgramWriter::put(std::vector<uint8_t> bytes) {
  ProgramItem item;
  item.bytes = std::move(bytes);
  program_.items.push_back(std::move(item));
}

void ProgramWriter::set(unsigned r, uint32_t value) {
  auto bytes = with_prefixes({static_cast<uint8_t>(0xb8 + r)}, kSize);
  append32(bytes, value);
  put(std::move(bytes));
}

void ProgramWriter::push(uint32_t value) {
  auto bytes = with_prefixes({0x68}, kSize);
  append32(bytes, value);
  put(std::move(bytes));
}

void ProgramWriter::with_stack_memory(uint8_t opcode, unsigned digit, uint32_t offset,
                                      std::vector<uint8_t> immediate) {
  auto bytes = with_prefixes({opcode, static_cast<uint8_t>(digit << 3 | 5)}, kSize | kAddress | kStack);
  append32(bytes, offset);
  bytes.insert(bytes.end(), immediate.begin(), immediate.end());
  put(std::move(bytes));
}

Label ProgramWriter::new_label() {
  program_.labels.push_back(0);
  return static_cast<Label>(program_.labels.size() - 1);
}

Label ProgramWriter::here() {
  const Label label = new_label();
  bind(label);
  return label;
}

/// The target's displacement or address stands behind `opcode`.
ProgramItem& ProgramWriter::put_target(std::vector<uint8_t> opcode, ProgramItem::Target target, Label label,
                                       uint8_t size) {
  ProgramItem item;
  item.bytes = std::move(opcode);
  item.target = target;
  item.label = label;
  item.target_at = static_cast<uint8_t>(item.bytes.size());
  item.target_size = size;
  item.bytes.resize(item.bytes.size() + size);
  return program_.items.emplace_back(std::move(item));
}

void ProgramWriter::jump(Label to) {
  put_target({0xe9}, ProgramItem::Target::kRelative, to, pointer_size()).may_be_short = true;
}

void ProgramWriter::jump_if(uint8_t condition, Label to) {
  put_target({0x0f, static_cast<uint8_t>(0x80 + condition)}, ProgramItem::Target::kRelative, to,
             pointer_size())
      .may_be_short = true;
}

void ProgramWriter::call(Label to) {
  put_target({0xe8}, ProgramItem::Target::kRelative, to, pointer_size());
}

void ProgramWriter::loop(uint8_t opcode, Label to, bool narrow) {
  std::vector<uint8_t> bytes;
  if (narrow == wide()) bytes.push_back(kAddressSize);
  bytes.push_back(opcode);
  put_target(std::move(bytes), ProgramItem::Target::kRelative, to, 1);
}

void ProgramWriter::far_transfer(uint8_t opcode, uint16_t selector, Label to) {
  ProgramItem& item = put_target({opcode}, ProgramItem::Target::kAbsolute, to, pointer_size());
  item.bytes.push_back(static_cast<uint8_t>(selector));
  item.bytes.push_back(static_cast<uint8_t>(selector >> 8));
}

void ProgramWriter::set_to_address(unsigned r, Label of) {
  put_target({static_cast<uint8_t>(0xb8 + r)}, ProgramItem::Target::kAbsolute, of, pointer_size());
}

void ProgramWriter::push_address(Label of) {
  put_target({0x68}, ProgramItem::Target::kAbsolute, of, pointer_size());
}

void ProgramWriter::through_table(unsigned digit, unsigned r, uint32_t offset) {
  const unsigned scale = static_cast<unsigned>(std::countr_zero(unsigned{pointer_size()}));
  auto bytes = with_prefixes(
      {0xff, static_cast<uint8_t>(digit << 3 | 4), static_cast<uint8_t>(scale << 6 | r << 3 | 5)},
      kAddress | kStack);
  append32(bytes, offset);
  put(std::move(bytes));
}

}  // namespace vireo::diff
