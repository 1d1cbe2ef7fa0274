#include "core/interp/protection.h"

namespace vireo::interp {

namespace {

/// Linear address of the descriptor, or nothing if `selector` is beyond its table.
std::optional<Gla> descriptor_address(const CpuState& cpu, uint16_t selector) {
  const uint64_t offset = selector & 0xfff8;
  uint64_t base = cpu.gdtr.base;
  uint64_t limit = cpu.gdtr.limit;
  if (selector & 4) {
    if (!cpu.ldtr.present()) return std::nullopt;
    base = cpu.ldtr.base;
    limit = cpu.ldtr.limit;
  }
  if (offset + 7 > limit) return std::nullopt;
  return Gla{base + offset};
}

}  // namespace

Segment Descriptor::segment(uint16_t selector) const {
  const uint32_t access = ((high >> 8) & 0xff) | ((high >> 8) & 0xf000);
  return {.base = base(), .limit = limit(), .selector = selector, .access = static_cast<uint16_t>(access)};
}

std::optional<Descriptor> read_descriptor(Interp& interp, uint16_t selector) {
  const auto address = descriptor_address(interp.cpu, selector);
  if (!address) return std::nullopt;
  const uint64_t raw = interp.read_system<uint64_t>(*address);
  return Descriptor{static_cast<uint32_t>(raw), static_cast<uint32_t>(raw >> 32)};
}

void mark_accessed(Interp& interp, uint16_t selector, Descriptor& descriptor) {
  if (descriptor.high & (1u << 8)) return;
  descriptor.high |= 1u << 8;
  interp.write_system<uint8_t>(*descriptor_address(interp.cpu, selector) + 5,
                               static_cast<uint8_t>(descriptor.high >> 8));
}

void mark_busy(Interp& interp, uint16_t selector, bool busy) {
  const auto address = descriptor_address(interp.cpu, selector);
  if (!address) return;  // the old task's descriptor has gone from a GDT that shrank
  const uint8_t access = interp.read_system<uint8_t>(*address + 5);
  interp.write_system<uint8_t>(*address + 5, static_cast<uint8_t>(busy ? access | 2 : access & ~2));
}

Segment real_mode_segment(const Segment& old, uint16_t selector) {
  return {.base = uint64_t{selector} << 4,
          .limit = old.limit,
          .selector = selector,
          .access = static_cast<uint16_t>(0x93 | (old.access & (Segment::kDb | Segment::kG)))};
}

Segment v86_segment(uint16_t selector) {
  return {.base = uint64_t{selector} << 4, .limit = 0xffff, .selector = selector, .access = 0xf3};
}

Segment null_segment(uint16_t selector) {
  return {.base = 0, .limit = 0, .selector = selector, .access = 0};
}

void enter_code_segment(Interp& interp, const Segment& cs, unsigned cpl) {
  interp.cpu.segment(SegReg::kCs) = cs;
  interp.cpu.cpl = static_cast<uint8_t>(cpl);
  interp.mode_changed();
}

void drop_inner_segments(Interp& interp) {
  for (SegReg which : {SegReg::kEs, SegReg::kDs, SegReg::kFs, SegReg::kGs}) {
    Segment& s = interp.cpu.segment(which);
    if (s.present() && !s.is_conforming_code() && s.dpl() < interp.cpl()) s = null_segment(0);
  }
}

StackPointer inner_stack(Interp& interp, unsigned cpl, uint32_t external) {
  const Segment& tr = interp.cpu.tr;
  uint16_t selector;
  uint64_t pointer;
  if (tr.type() & 8) {
    const uint32_t offset = 4 + 8 * cpl;
    if (offset + 7 > tr.limit) throw_ts(error_code_of(tr.selector, external));
    pointer = interp.read_system<uint32_t>({tr.base + offset});
    selector = interp.read_system<uint16_t>({tr.base + offset + 4});
  } else {
    const uint32_t offset = 2 + 4 * cpl;
    if (offset + 3 > tr.limit) throw_ts(error_code_of(tr.selector, external));
    pointer = interp.read_system<uint16_t>({tr.base + offset});
    selector = interp.read_system<uint16_t>({tr.base + offset + 2});
  }
  const uint32_t code = error_code_of(selector, external);
  if (is_null(selector)) throw_ts(code);
  auto descriptor = read_descriptor(interp, selector);
  if (!descriptor || rpl_of(selector) != cpl || descriptor->dpl() != cpl || !descriptor->is_writable_data()) {
    throw_ts(code);
  }
  if (!descriptor->present()) throw_ss(code);
  mark_accessed(interp, selector, *descriptor);
  return {descriptor->segment(selector), pointer};
}

StackWriter::StackWriter(Interp& interp, const StackPointer& stack, unsigned cpl, uint32_t error_code)
    : interp_(interp),
      ss_(stack.ss),
      pointer_(stack.pointer),
      mask_(stack.ss.big() ? 0xffffffff : 0xffff),
      privilege_(cpl == 3 ? Privilege::kUser : Privilege::kSupervisor),
      error_code_(error_code) {}

void StackWriter::push(unsigned size, uint64_t value) {
  const uint64_t offset = (pointer_ - size) & mask_;
  const uint64_t last = offset + size - 1;
  const bool outside = ss_.is_expand_down() ? offset <= ss_.limit || last > mask_ : last > ss_.limit;
  if (outside) throw_ss(error_code_);
  interp_.write_linear_as(privilege_, {ss_.base + offset}, &value, size);
  pointer_ = (pointer_ & ~mask_) | offset;
}

void set_flags(Interp& interp, uint64_t value, uint64_t mask) {
  CpuState& cpu = interp.cpu;
  const uint64_t before = cpu.rflags;
  cpu.rflags = (before & ~mask) | (value & mask) | rflags::kFixed1;
  const uint64_t changed = before ^ cpu.rflags;
  if (changed & (rflags::kTf | rflags::kRf)) interp.end_block();
  if (changed & (rflags::kAc | rflags::kVm)) interp.mode_changed();
  if (changed & cpu.rflags & rflags::kIf) interp.recheck_interrupts();
}

}  // namespace vireo::interp
