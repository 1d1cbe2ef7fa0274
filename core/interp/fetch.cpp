// From CS:RIP to a block of decoded instructions: fetch faults, decoding, the jump cache.
#include <algorithm>
#include <cstring>

#include "core/interp/handlers.h"
#include "core/interp/interp_impl.h"
#include "core/isa/decode.h"
#include "core/isa/mnemonic.h"

namespace vireo::interp {

namespace {

using isa::DecodeStatus;
using isa::Mnemonic;

constexpr size_t kMaxBlockInsns = 64;

/// After these, execution never goes on with the next instruction, or hardly ever.
bool ends_block(Mnemonic mnemonic) {
  switch (mnemonic) {
    case Mnemonic::JMP:
    case Mnemonic::CALL:
    case Mnemonic::RET:
    case Mnemonic::JMPF:
    case Mnemonic::CALLF:
    case Mnemonic::RETF:
    case Mnemonic::IRET:
    case Mnemonic::INT:
    case Mnemonic::INT3:
    case Mnemonic::INT1:
    case Mnemonic::HLT:
    case Mnemonic::SYSENTER:
    case Mnemonic::SYSEXIT:
    case Mnemonic::MOV_CR:
      return true;
    default:
      return false;
  }
}

[[noreturn]] void throw_undecodable(DecodeStatus status) {
  if (status == DecodeStatus::kUndefined) throw_ud();
  throw_gp(0);  // longer than 15 bytes, or beyond CS.limit
}

}  // namespace

void Interp::Impl::fill_for_fetch(uint64_t linear) {
  if (in.mmu.exec_frame({linear}, in.privilege_) != 0) return;
  if (auto fault = in.mmu.fill({linear}, Access::kExecute, in.privilege_)) {
    throw Fault{14, true, fault->error_code, fault->address.value};
  }
}

Block* Interp::Impl::find_block_slow(uint64_t linear, BlockMode wanted) {
  ++slow_lookups;
  const uint64_t limit = cpu.segment(SegReg::kCs).limit;
  if (cpu.rip > limit) throw_gp(0);
  fill_for_fetch(linear);
  const uint64_t page = fetch_page(linear);
  if (page == kNoPage || in.context.memory.is_mixed(in.mmu.code_bytes({linear}, in.privilege_)))
    return build_from_bytes(linear, wanted, false);

  Block* b = cache.find(page | (linear & kPageMask), wanted);
  if (b == nullptr) b = build(linear, wanted);
  if (b == &scratch) return b;
  if (cpu.rip + b->bytes - 1 > limit) return build_from_bytes(linear, wanted, false);
  if (b->crosses) {
    const uint64_t second = ((linear & ~kPageMask) + kPageSize) & in.linear_mask_;
    fill_for_fetch(second);
    return fetch_page(second) == b->second_page ? b : build_from_bytes(linear, wanted, false);
  }
  jumps[jump_slot(linear)] = {linear, b};
  return b;
}

Block* Interp::Impl::build(uint64_t linear, BlockMode wanted) {
  const uint64_t offset = linear & kPageMask;
  const uint64_t within_limit = cpu.segment(SegReg::kCs).limit - cpu.rip + 1;
  const std::span<const uint8_t> bytes{in.mmu.code_bytes({linear}, in.privilege_),
                                       std::min(kPageSize - offset, within_limit)};
  const size_t max_insns = wanted.single() ? 1 : kMaxBlockInsns;
  building.clear();
  uint32_t used = 0;
  while (building.size() < max_insns && used < bytes.size()) {
    DecodedInsn decoded;
    const DecodeStatus status = isa::decode(bytes.subspan(used), wanted.code_size(), decoded.insn);
    if (status != DecodeStatus::kOk) {
      if (!building.empty()) break;
      if (status != DecodeStatus::kNeedMoreBytes) throw_undecodable(status);
      return build_from_bytes(linear, wanted, true);
    }
    decoded.handler = bind_handler(decoded.insn, in.context.model);
    used += decoded.insn.length;
    building.push_back(decoded);
    if (ends_block(decoded.insn.mnemonic)) break;
  }
  cache.make_room();
  return cache.add(fetch_page(linear) | offset, wanted, building, used, false, 0);
}

Block* Interp::Impl::build_from_bytes(uint64_t linear, BlockMode wanted, bool cacheable) {
  const uint64_t within_limit = cpu.segment(SegReg::kCs).limit - cpu.rip + 1;
  const unsigned wanted_bytes = static_cast<unsigned>(std::min<uint64_t>(isa::kMaxInsnLength, within_limit));
  const unsigned in_first =
      static_cast<unsigned>(std::min<uint64_t>(wanted_bytes, kPageSize - (linear & kPageMask)));
  uint8_t bytes[32] = {};
  in.mmu.read_slow({linear}, in.privilege_, bytes, in_first);
  DecodedInsn decoded;
  DecodeStatus status = isa::decode({bytes, in_first}, wanted.code_size(), decoded.insn);
  const uint64_t second = ((linear & ~kPageMask) + kPageSize) & in.linear_mask_;
  bool crosses = false;
  if (status == DecodeStatus::kNeedMoreBytes && in_first < wanted_bytes) {
    crosses = true;
    fill_for_fetch(second);
    in.mmu.read_slow({second}, in.privilege_, bytes + in_first, wanted_bytes - in_first);
    status = isa::decode({bytes, wanted_bytes}, wanted.code_size(), decoded.insn);
  }
  if (status != DecodeStatus::kOk) throw_undecodable(status);
  decoded.handler = bind_handler(decoded.insn, in.context.model);

  const uint64_t page = fetch_page(linear), second_page = fetch_page(second);
  const GuestMemory& memory = in.context.memory;
  const uint8_t* first_host = page != kNoPage ? in.mmu.code_bytes({linear}, in.privilege_) : nullptr;
  const uint8_t* second_host =
      crosses && second_page != kNoPage ? in.mmu.code_bytes({second}, in.privilege_) : nullptr;
  const bool mixed = memory.is_mixed(first_host) || memory.is_mixed(second_host);
  if (cacheable && !mixed && crosses && page != kNoPage && second_page != kNoPage) {
    building.assign(1, decoded);
    cache.make_room();
    return cache.add(page | (linear & kPageMask), wanted, building, decoded.insn.length, true, second_page);
  }
  scratch_insn = decoded;
  scratch = Block{};
  scratch.bytes = decoded.insn.length;
  scratch.count = 1;
  scratch.insns = &scratch_insn;
  if (mixed) {
    const unsigned length = decoded.insn.length, first_part = std::min(length, in_first);
    scratch_code.parts[0] = {first_host, first_host != nullptr ? first_part : 0};
    scratch_code.parts[1] = {second_host, second_host != nullptr ? length - first_part : 0};
    std::copy_n(bytes + (first_host != nullptr ? 0 : first_part),
                scratch_code.parts[0].size + scratch_code.parts[1].size, scratch_code.bytes.begin());
    scratch.own_code = &scratch_code;
  }
  return &scratch;
}

}  // namespace vireo::interp
