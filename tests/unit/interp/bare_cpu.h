// The bench for tests of single instructions: protected mode at CPL 0 with flat segments and no tables. Code
// goes to kCode, data is wherever the test puts it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>

#include "tests/unit/interp/bench.h"

namespace vireo::interp {

class BareCpu : public CpuBench {
 protected:
  static constexpr uint32_t kCode = 0x1000, kData = 0x2000, kStack = 0x8000;

  BareCpu() : CpuBench(kDefaultCpuModel) {
    cpu.cr0 = cr0::kPe | cr0::kNe | cr0::kEt;
    cpu.cr4 = cr4::kOsfxsr | cr4::kOsxmmexcpt;
    cpu.fx.fcw = 0x37f;
    cpu.fx.ftw = 0;
    set_code_size(32);
    cpu.reg(Gpr::kRsp) = kStack;
    mmu.control_registers_changed();
  }

  void set_code_size(unsigned bits) {
    const uint16_t big = bits == 32 ? Segment::kDb : 0;
    for (Segment& s : cpu.seg) s = flat(0x93, big);
    cpu.segment(SegReg::kCs) = flat(0x9b, big);
  }
  static Segment flat(uint16_t access, uint16_t big) {
    return {.base = 0,
            .limit = 0xffffffff,
            .selector = 8,
            .access = static_cast<uint16_t>(access | big | Segment::kG)};
  }

  /// Executes the one instruction `code`; the vector of the fault that it raises, if any. Repeats a REP
  /// instruction until it is complete.
  std::optional<uint8_t> execute(std::initializer_list<uint8_t> code) {
    CpuBench::put(kCode, code);
    cpu.rip = kCode;
    std::optional<Fault> fault;
    while (interp->step_one(&fault) == Interp::StepResult::kIncomplete) {
    }
    if (!fault) return std::nullopt;
    return fault->vector;
  }
  /// As execute(), but it must not fault.
  void run(std::initializer_list<uint8_t> code) { EXPECT_EQ(execute(code), std::nullopt); }

  uint32_t& eax() { return low(Gpr::kRax); }
  uint32_t& ecx() { return low(Gpr::kRcx); }
  uint32_t& edx() { return low(Gpr::kRdx); }
  uint32_t& ebx() { return low(Gpr::kRbx); }
  uint32_t& esp() { return low(Gpr::kRsp); }
  uint32_t& ebp() { return low(Gpr::kRbp); }
  uint32_t& esi() { return low(Gpr::kRsi); }
  uint32_t& edi() { return low(Gpr::kRdi); }
  bool flag(uint64_t bit) const { return cpu.rflags & bit; }

  template <class T>
  void put(uint32_t address, T value) {
    poke(address, value);
  }
  template <class T>
  T get(uint32_t address) {
    return peek<T>(address);
  }

 private:
  uint32_t& low(Gpr r) { return reinterpret_cast<uint32_t&>(cpu.reg(r)); }
};

constexpr uint8_t kDe = 0, kBr = 5, kUd = 6, kNm = 7, kSs = 12, kGp = 13, kMf = 16, kXm = 19;

}  // namespace vireo::interp
