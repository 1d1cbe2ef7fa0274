#include "tests/differential/program.h"

#include <fmt/format.h>

#include <cstring>

#include "core/isa/disassemble.h"
#include "tests/differential/compare.h"

namespace vireo::diff {
namespace {

constexpr uint8_t kJmpNear = 0xe9, kJmpShort = 0xeb;

/// "[66] E9 rel" and "[66] 0F 8x rel" with rel8.
std::vector<uint8_t> short_form(const ProgramItem& item) {
  const uint8_t opcode = item.bytes[item.target_at - 1u];
  const bool jmp = opcode == kJmpNear;
  return {jmp ? kJmpShort : static_cast<uint8_t>(opcode - 0x10), 0};
}

struct Placed {
  std::vector<uint8_t> bytes;
  uint8_t target_at = 0, target_size = 0;
};

class Assembler {
 public:
  explicit Assembler(Program& program) : program_(program) {}

  Assembly run() {
    for (;;) {
      place(false);
      choose_short_forms();
      if (fill()) break;
    }
    return std::move(out_);
  }

 private:
  uint32_t offset_of(Label label) const { return out_.offsets[program_.labels[label]]; }
  int32_t distance(size_t i) const {
    return static_cast<int32_t>(offset_of(program_.items[i].label) - out_.offsets[i + 1]);
  }

  void place(bool keep) {
    const size_t n = program_.items.size();
    if (!keep) placed_.assign(n, {});
    out_.offsets.assign(n + 1, 0);
    uint32_t at = 0;
    for (size_t i = 0; i < n; i++) {
      const ProgramItem& item = program_.items[i];
      if (!keep && item.present) placed_[i] = {item.bytes, item.target_at, item.target_size};
      out_.offsets[i] = at;
      at += static_cast<uint32_t>(placed_[i].bytes.size());
    }
    out_.offsets[n] = at;
  }

  void choose_short_forms() {
    // With a margin, because the end of the instruction moves too. Distances only shrink afterwards.
    constexpr int32_t kReach = 120;
    std::vector<size_t> chosen;
    for (size_t i = 0; i < program_.items.size(); i++) {
      const ProgramItem& item = program_.items[i];
      if (item.present && item.may_be_short && std::abs(distance(i)) < kReach) chosen.push_back(i);
    }
    for (size_t i : chosen) placed_[i] = {short_form(program_.items[i]), 1, 1};
    place(true);
  }

  bool fill() {
    out_.code.clear();
    out_.tables.clear();
    const uint32_t eip = program_.before.eip;
    for (size_t i = 0; i < program_.items.size(); i++) {
      ProgramItem& item = program_.items[i];
      Placed& placed = placed_[i];
      if (item.present && item.target != ProgramItem::Target::kNone) {
        uint32_t value = eip + offset_of(item.label);
        if (item.target == ProgramItem::Target::kRelative) {
          const int32_t relative = distance(i);
          if (placed.target_size == 1 && relative != static_cast<int8_t>(relative)) {
            item.present = false;
            return false;
          }
          value = static_cast<uint32_t>(relative);
        }
        std::memcpy(&placed.bytes[placed.target_at], &value, placed.target_size);
      }
      out_.code.insert(out_.code.end(), placed.bytes.begin(), placed.bytes.end());
    }
    for (const TableEntry& entry : program_.tables) {
      const uint32_t value = eip + offset_of(entry.label);
      std::vector<uint8_t> bytes(entry.size);
      std::memcpy(bytes.data(), &value, entry.size);
      out_.tables.push_back({entry.linear, std::move(bytes)});
    }
    return true;
  }

  Program& program_;
  std::vector<Placed> placed_;
  Assembly out_;
};

std::string hex(std::span<const uint8_t> bytes, size_t most) {
  std::string text;
  for (size_t i = 0; i < bytes.size() && i < most; i++) text += fmt::format("{:02x} ", bytes[i]);
  return text + (bytes.size() > most ? "..." : "");
}

}  // namespace

std::optional<size_t> Assembly::item_at(const Program& program, uint32_t linear) const {
  const uint32_t offset = linear - program.code_linear;
  for (size_t i = 0; i + 1 < offsets.size(); i++) {
    if (program.items[i].present && offset >= offsets[i] && offset < offsets[i + 1]) return i;
  }
  return std::nullopt;
}

Assembly assemble(Program& program) {
  return Assembler(program).run();
}

std::string listing(const Program& program, const Assembly& assembly) {
  std::string text = fmt::format("  {}-bit code\n", program.code_size == isa::CodeSize::k32 ? 32 : 16);
  for (size_t i = 0; i < program.items.size(); i++) {
    if (!program.items[i].present) continue;
    const uint32_t at = assembly.offsets[i];
    const std::span bytes(&assembly.code[at], assembly.offsets[i + 1] - at);
    text += fmt::format("  {:08x}  {:32}{}\n", program.before.eip + at, hex(bytes, 15),
                        isa::disassemble(bytes, program.code_size, program.before.eip + at));
  }
  for (const auto* patches : {&program.patches, &assembly.tables}) {
    for (const Patch& patch : *patches) {
      text += fmt::format("  memory [{:08x}] {}\n", patch.linear, hex(patch.bytes, 32));
    }
  }
  return text;
}

}  // namespace vireo::diff
