// The bench in protected mode: flat segments for rings 0 and 3, a handler of one HLT for every vector.
#pragma once

#include "tests/unit/interp/bench.h"

namespace vireo::interp {

class ProtectedBench : public CpuBench {
 protected:
  static constexpr uint64_t kGdt = 0x1000, kIdt = 0x2000, kTss = 0x3000, kHandlers = 0x4000, kLdt = 0x1800;
  static constexpr uint32_t kRing0Stack = 0x9000, kRing3Stack = 0xa000, kTssStack = 0xb000;
  static constexpr uint16_t kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x1b, kData3 = 0x23, kConforming = 0x28;
  static constexpr uint16_t kTssSelector = 0x30, kOther = 0x38, kOther2 = 0x40, kLdtSelector = 0x48,
                            kCode16 = 0x50, kData16 = 0x58, kCode1 = 0x61, kData1 = 0x69;
  static constexpr uint8_t kFlat = 0xc;

  ProtectedBench() {
    set_gdt(kCode0, descriptor(0, 0xfffff, 0x9b, kFlat));
    set_gdt(kData0, descriptor(0, 0xfffff, 0x93, kFlat));
    set_gdt(kCode3, descriptor(0, 0xfffff, 0xfb, kFlat));
    set_gdt(kData3, descriptor(0, 0xfffff, 0xf3, kFlat));
    set_gdt(kConforming, descriptor(0, 0xfffff, 0x9f, kFlat));
    set_gdt(kTssSelector, descriptor(kTss, 0x2000, 0x8b, 0));
    set_gdt(kLdtSelector, descriptor(kLdt, 0x7f, 0x82, 0));
    set_gdt(kCode16, descriptor(0x10000, 0xffff, 0x9b, 0));
    set_gdt(kData16, descriptor(0, 0xffff, 0x93, 0));
    set_gdt(kCode1, descriptor(0, 0xfffff, 0xbb, kFlat));
    set_gdt(kData1, descriptor(0, 0xfffff, 0xb3, kFlat));
    for (unsigned v = 0; v < 256; ++v) {
      set_idt(v, gate(kCode0, handler(v), v < 0x80 ? 0x8e : 0xee));
      poke<uint8_t>(handler(v), 0xf4);
    }
    poke<uint32_t>(kTss + 4, kTssStack);
    poke<uint16_t>(kTss + 8, kData0);
    poke<uint32_t>(kTss + 12, kTssStack + 0x800);
    poke<uint16_t>(kTss + 16, kData1);
    poke<uint16_t>(kTss + 102, 0x88);  // I/O bitmap: redirection bitmap before it
    cpu.gdtr = {.base = kGdt, .limit = 0xff};
    cpu.idtr = {.base = kIdt, .limit = 0x7ff};
    cpu.tr = {.base = kTss, .limit = 0x2000, .selector = kTssSelector, .access = 0x8b};
    cpu.ldtr = {};
    cpu.cr0 |= cr0::kPe;
    enter_ring0();
  }

  static uint32_t handler(unsigned vector) { return static_cast<uint32_t>(kHandlers + 16 * vector); }
  void set_gdt(uint16_t selector, uint64_t value) { poke(kGdt + (selector & ~7u), value); }
  uint64_t get_gdt(uint16_t selector) { return peek<uint64_t>(kGdt + (selector & ~7u)); }
  void set_idt(unsigned vector, uint64_t value) { poke(kIdt + 8 * vector, value); }

  static Segment flat(uint16_t selector, bool code) {
    const uint16_t dpl = static_cast<uint16_t>((selector & 3) << 5);
    return {.base = 0,
            .limit = 0xffffffff,
            .selector = selector,
            .access = static_cast<uint16_t>((code ? 0xc09b : 0xc093) | dpl)};
  }
  void enter(uint16_t code, uint16_t data, uint32_t esp) {
    for (Segment& s : cpu.seg) s = flat(data, false);
    cpu.segment(SegReg::kCs) = flat(code, true);
    cpu.cpl = static_cast<uint8_t>(code & 3);
    cpu.reg(Gpr::kRsp) = esp;
    cpu.rip = kCode;
  }
  void enter_ring0() { enter(kCode0, kData0, kRing0Stack); }
  void enter_ring3() { enter(kCode3, kData3, kRing3Stack); }
  /// V86 code at CS:IP = kCode/16:0, stack at 2000:1000.
  void enter_v86(unsigned iopl) {
    for (Segment& s : cpu.seg) s = {.base = 0x20000, .limit = 0xffff, .selector = 0x2000, .access = 0xf3};
    cpu.segment(SegReg::kCs) = {.base = kCode, .limit = 0xffff, .selector = kCode >> 4, .access = 0xf3};
    cpu.rflags |= rflags::kVm | (iopl << rflags::kIoplShift);
    cpu.cpl = 3;
    cpu.reg(Gpr::kRsp) = 0x1000;
    cpu.rip = 0;
  }

  uint32_t stack(unsigned position) { return peek<uint32_t>(reg(Gpr::kRsp) + 4 * position); }
  /// The vector whose handler has halted, or -1.
  int vector() {
    if (cpu.rip < kHandlers + 1 || cpu.rip >= kHandlers + 16 * 256 || (cpu.rip & 15) != 1) return -1;
    return static_cast<int>((cpu.rip - kHandlers) / 16);
  }
  /// Runs `code` from kCode until a handler halts.
  void run_code(std::initializer_list<uint8_t> code) {
    put(kCode, code);
    run_to_halt();
  }
  void expect_fault(int wanted, uint32_t error_code) {
    EXPECT_EQ(vector(), wanted);
    EXPECT_EQ(stack(0), error_code);
  }
};

}  // namespace vireo::interp
