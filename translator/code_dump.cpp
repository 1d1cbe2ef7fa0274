#include "translator/code_dump.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>
#include <optional>
#include <string>

#include "core/isa/disassemble.h"
#include "core/log.h"
#include "translator/code_names.h"

namespace vireo::translator {

namespace {

constexpr size_t kGuestColumns = 64;

std::string hex(std::span<const uint8_t> bytes) {
  return fmt::format("{:02x}", fmt::join(bytes, ""));
}

/// Where a host jump or call with a relative operand goes.
std::optional<const uint8_t*> branch_target(std::span<const uint8_t> insn) {
  const uint8_t op = insn[0];
  const uint8_t* next = insn.data() + insn.size();
  const bool near = op == 0xe8 || op == 0xe9 || (op == 0x0f && insn.size() == 6 && (insn[1] & 0xf0) == 0x80);
  if (near) {
    int32_t distance;
    std::memcpy(&distance, next - sizeof distance, sizeof distance);
    return next + distance;
  }
  if (op == 0xeb || (op & 0xf0) == 0x70 || (op & 0xfc) == 0xe0) return next + static_cast<int8_t>(insn[1]);
  return std::nullopt;
}

class Dump {
 public:
  Dump(const Block& block, std::span<const ScannedInsn> insns, const Trampolines& trampolines)
      : block_(block), insns_(insns), trampolines_(named_trampolines(trampolines)) {}

  std::string guest_side(const CodePart& part, isa::CodeSize code_size) const {
    switch (part.kind) {
      case CodePart::Kind::kEntry:
        return "entry";
      case CodePart::Kind::kInsn: {
        const ScannedInsn& x = insns_[part.index];
        return fmt::format("{:08x} {:<14} {}", x.rip, hex(x.bytes),
                           isa::disassemble(x.bytes, code_size, x.rip));
      }
      case CodePart::Kind::kEnd:
        return fmt::format("goes on at {:08x}", insns_.back().next_rip);
      case CodePart::Kind::kSlow:
        return fmt::format("{:08x} slow path", insns_[part.index].rip);
      case CodePart::Kind::kSideExit:
        return fmt::format("side exit to {:08x}", block_.exits[part.index].target_rip);
      case CodePart::Kind::kExit:
        return fmt::format("exit to {:08x}, not linked", block_.exits[part.index].target_rip);
      case CodePart::Kind::kUnknown:
        return "branch table: entry not known";
      case CodePart::Kind::kTable:
        return fmt::format("branch table: {} entries", block_.table->size);
    }
    return "?";
  }

  void part_lines(std::string guest, uint32_t from, uint32_t to) const {
    if (guest.size() > kGuestColumns || from == to) {
      trace(LogCategory::kCode, "{}", guest);
      guest.clear();
    }
    for (; from < to; guest.clear()) {
      const uint8_t* start = block_.code + from;
      const auto address = reinterpret_cast<uint64_t>(start);
      isa::Disassembly insn = isa::disassemble_one({start, to - from}, isa::CodeSize::k64, address);
      if (insn.length == 0) insn.length = 1;
      if (const auto target = branch_target({start, insn.length})) {
        insn.text = insn.text.substr(0, insn.text.find(' ') + 1) + place(*target);
      }
      trace(LogCategory::kCode, "{:<{}} | +{:04x} {}", guest, kGuestColumns, from, insn.text);
      from += insn.length;
    }
  }

 private:
  std::string place(const uint8_t* host) const {
    for (const NamedCode& named : trampolines_) {
      if (named.start == host) return std::string(named.name);
    }
    const int64_t offset = host - block_.code;
    if (offset >= 0 && offset <= block_.code_bytes) return fmt::format("+{:04x}", offset);
    return fmt::format("{:#x}", reinterpret_cast<uint64_t>(host));
  }

  const Block& block_;
  std::span<const ScannedInsn> insns_;
  const std::vector<NamedCode> trampolines_;
};

}  // namespace

void trace_code(const Block& block, isa::CodeSize code_size, std::span<const ScannedInsn> insns,
                std::span<const CodePart> parts, const Trampolines& trampolines) {
  trace(LogCategory::kCode,
        "block {}: physical {:08x}, {} instructions, {} guest bytes, {} host bytes at {:#x}",
        block_name(block), block.physical, block.insn_count, block.guest_bytes, block.code_bytes,
        reinterpret_cast<uint64_t>(block.code));
  const Dump dump(block, insns, trampolines);
  for (size_t i = 0; i < parts.size(); ++i) {
    const uint32_t end = i + 1 < parts.size() ? parts[i + 1].offset : block.code_bytes;
    // Data, not code.
    const uint32_t shown = parts[i].kind == CodePart::Kind::kTable ? parts[i].offset : end;
    dump.part_lines(dump.guest_side(parts[i], code_size), parts[i].offset, shown);
  }
}

}  // namespace vireo::translator
