#include "tests/isa/compare.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "core/check.h"
#include "core/isa/decode.h"
#include "core/isa/insn_row.h"
#include "tests/isa/host_decoder.h"
#include "tests/isa/prefixes.h"

namespace vireo::isa {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

/// Capstone's register as a number, kNoRegister, or kRipRegister; RIZ and EIZ are the index that is none.
uint8_t register_number(unsigned reg) {
  static const std::unordered_map<unsigned, uint8_t> kNumbers = [] {
    std::unordered_map<unsigned, uint8_t> numbers;
    const x86_reg by_number[][3] = {
        {X86_REG_AX, X86_REG_EAX, X86_REG_RAX},    {X86_REG_CX, X86_REG_ECX, X86_REG_RCX},
        {X86_REG_DX, X86_REG_EDX, X86_REG_RDX},    {X86_REG_BX, X86_REG_EBX, X86_REG_RBX},
        {X86_REG_SP, X86_REG_ESP, X86_REG_RSP},    {X86_REG_BP, X86_REG_EBP, X86_REG_RBP},
        {X86_REG_SI, X86_REG_ESI, X86_REG_RSI},    {X86_REG_DI, X86_REG_EDI, X86_REG_RDI},
        {X86_REG_R8W, X86_REG_R8D, X86_REG_R8},    {X86_REG_R9W, X86_REG_R9D, X86_REG_R9},
        {X86_REG_R10W, X86_REG_R10D, X86_REG_R10}, {X86_REG_R11W, X86_REG_R11D, X86_REG_R11},
        {X86_REG_R12W, X86_REG_R12D, X86_REG_R12}, {X86_REG_R13W, X86_REG_R13D, X86_REG_R13},
        {X86_REG_R14W, X86_REG_R14D, X86_REG_R14}, {X86_REG_R15W, X86_REG_R15D, X86_REG_R15}};
    for (uint8_t n = 0; n < 16; n++) {
      for (x86_reg r : by_number[n]) numbers[r] = n;
    }
    for (unsigned n = 0; n < 16; n++) {
      numbers[X86_REG_XMM0 + n] = static_cast<uint8_t>(n);
      numbers[X86_REG_YMM0 + n] = static_cast<uint8_t>(n);
    }
    for (x86_reg r : {X86_REG_EIP, X86_REG_RIP, X86_REG_IP}) numbers[r] = kRipRegister;
    return numbers;
  }();
  const auto found = kNumbers.find(reg);
  return found == kNumbers.end() ? kNoRegister : found->second;
}

/// Only the memory operand that ModRM or moffs describes.
bool has_memory_operand(const Insn& insn) {
  const InsnRow& r = row(insn);
  if (r.encoding.has_modrm) return insn.is_memory();
  return std::any_of(r.operands.begin(), r.operands.end(),
                     [](Operand o) { return o.kind == OperandKind::kO; });
}

bool memory_agrees(const Insn& insn, const cs_x86& capstone) {
  for (unsigned i = 0; i < capstone.op_count; i++) {
    const cs_x86_op& op = capstone.operands[i];
    if (op.type != X86_OP_MEM) continue;
    const uint64_t mask = insn.address_size == 8 ? ~0ull : (1ull << (insn.address_size * 8)) - 1;
    if (((static_cast<uint64_t>(op.mem.disp) ^ static_cast<uint64_t>(insn.disp)) & mask) != 0) return false;
    const bool indexed = insn.index != kNoRegister;
    return register_number(op.mem.base) == insn.base && register_number(op.mem.index) == insn.index &&
           (!indexed || op.mem.scale == 1 << insn.scale);
  }
  return true;  // Capstone leaves out some implied or sizeless operands
}

bool immediate_agrees(const Insn& insn, const cs_x86& capstone) {
  const InsnRow& r = row(insn);
  for (unsigned i = 0; i < r.operand_count; i++) {
    const Operand& operand = r.operands[i];
    if (operand.kind != OperandKind::kI && operand.kind != OperandKind::kJ) continue;
    uint64_t ours = insn.imm;
    unsigned size = operand.type == OperandType::kB   ? 1
                    : operand.type == OperandType::kW ? 2
                                                      : insn.operand_size;
    if (operand.kind == OperandKind::kJ) {
      ours += CapstoneReference::kAddress + insn.length;
      size = insn.operand_size;
    }
    const uint64_t mask = size == 8 ? ~0ull : (1ull << (size * 8)) - 1;
    for (unsigned n = 0; n < capstone.op_count; n++) {
      const cs_x86_op& op = capstone.operands[n];
      if (op.type == X86_OP_IMM) return ((static_cast<uint64_t>(op.imm) ^ ours) & mask) == 0;
    }
    return true;  // predicates that became part of Capstone's mnemonic
  }
  return true;
}

}  // namespace

CapstoneNames::CapstoneNames(const std::string& path) {
  std::unordered_map<std::string_view, Mnemonic> by_name;
  for (size_t i = 0; i < kMnemonicCount; i++) by_name[kMnemonicNames[i]] = static_cast<Mnemonic>(i);
  std::ifstream file(path);
  CHECK(file.good());
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    std::istringstream words(line);
    std::string word;
    words >> word;
    CHECK(by_name.contains(word));
    std::vector<std::string>& names = names_[by_name[word]];
    while (words >> word) names.push_back(word);
    CHECK(!names.empty());
  }
}

bool CapstoneNames::agree(Mnemonic mnemonic, std::string_view capstone_name) const {
  const auto listed = names_.find(mnemonic);
  if (listed != names_.end()) {
    const std::string name(capstone_name);
    return std::any_of(listed->second.begin(), listed->second.end(), [&](const std::string& pattern) {
      return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
    });
  }
  const std::string_view name = mnemonic_name(mnemonic);
  return std::equal(name.begin(), name.end(), capstone_name.begin(), capstone_name.end(),
                    [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
}

std::string_view Comparison::disagreement(std::span<const uint8_t> bytes, Opinions& out) {
  out.ours = decode(bytes, code_size_, out.insn) == DecodeStatus::kOk;
  const cs_insn* const theirs = out.theirs = capstone_.decode(bytes);
  if (!out.ours && !theirs) return {};
  if (!theirs) return "vireo-only";
  if (!out.ours) return "capstone-only";
  if (out.insn.length != theirs->size) return "length";
  if (!names_.agree(out.insn.mnemonic, capstone_.name(*theirs))) return "name";
  if (has_memory_operand(out.insn) && !memory_agrees(out.insn, theirs->detail->x86)) return "memory";
  if (!immediate_agrees(out.insn, theirs->detail->x86)) return "immediate";
  return {};
}

bool Comparison::agree_in_order(std::span<const uint8_t> bytes, const Opinions& as_given) {
  const Prefixes prefixes(bytes, code_size_);
  std::vector<uint8_t> reordered = prefixes.canonical();
  const size_t shorter = prefixes.count - reordered.size();
  reordered.insert(reordered.end(), bytes.begin() + static_cast<ptrdiff_t>(prefixes.count), bytes.end());
  Opinions in_order;
  if (!disagreement(reordered, in_order).empty() || in_order.ours != as_given.ours) return false;
  return !in_order.ours ||
         (in_order.insn.row == as_given.insn.row && in_order.insn.length + shorter == as_given.insn.length);
}

std::optional<Disagreement> Comparison::compare(std::span<const uint8_t> bytes) {
  bytes = bytes.first(std::min<size_t>(bytes.size(), kMaxInsnLength));
  Opinions opinions;
  std::string_view kind = disagreement(bytes, opinions);
  if (opinions.ours) decoded++;
  if (kind.empty()) return {};
  const std::string capstone_name(opinions.theirs ? capstone_.name(*opinions.theirs) : "-");
  if (agree_in_order(bytes, opinions)) kind = "order";
  return describe(bytes, kind, opinions.ours ? mnemonic_name(opinions.insn.mnemonic) : "-", capstone_name);
}

std::optional<Disagreement> Comparison::compare_with_host(std::span<const uint8_t> bytes) {
  bytes = bytes.first(std::min<size_t>(bytes.size(), kMaxInsnLength));
  Insn insn;
  const bool ours = decode(bytes, code_size_, insn) == DecodeStatus::kOk;
  if (ours) decoded++;
  const HostVerdict verdict = host_decode(bytes, code_size_);
  if (verdict.kind == HostVerdict::Kind::kNone) return {};
  const bool theirs = verdict.kind == HostVerdict::Kind::kValid;
  if (ours == theirs && (!ours || verdict.length == insn.length)) return {};
  const std::string_view kind = !theirs ? "vireo-only" : !ours ? "host-only" : "length";
  return describe(bytes, kind, ours ? mnemonic_name(insn.mnemonic) : "-", verdict.text());
}

Disagreement Comparison::describe(std::span<const uint8_t> bytes, std::string_view kind,
                                  std::string_view ours, std::string_view theirs) const {
  constexpr const char* kModes[] = {"16", "32", "64"};
  Disagreement d;
  d.mode = kModes[static_cast<unsigned>(code_size_)];
  d.kind = kind;
  d.vireo = ours;
  d.capstone = theirs;
  std::replace(d.capstone.begin(), d.capstone.end(), ' ', '_');
  const Prefixes prefixes(bytes, code_size_);
  d.prefixes = prefixes.text();
  d.opcode = opcode_text(bytes.subspan(prefixes.count), code_size_);
  return d;
}

std::string Comparison::explain(std::span<const uint8_t> bytes) {
  bytes = bytes.first(std::min<size_t>(bytes.size(), kMaxInsnLength));
  std::string text;
  for (uint8_t byte : bytes) text += fmt::format("{:02x} ", byte);
  Insn insn;
  const DecodeStatus status = decode(bytes, code_size_, insn);
  if (status == DecodeStatus::kOk) {
    text += fmt::format("| vireo: {} \"{}\" {} bytes", mnemonic_name(insn.mnemonic), row(insn).encoding_text,
                        insn.length);
  } else {
    text += fmt::format("| vireo: status {}", static_cast<unsigned>(status));
  }
  const cs_insn* const theirs = capstone_.decode(bytes);
  if (!theirs) return text + " | capstone: none";
  return text + fmt::format(" | capstone: {} {} ({}), {} bytes", theirs->mnemonic, theirs->op_str,
                            lower(capstone_.name(*theirs)), theirs->size);
}

}  // namespace vireo::isa
