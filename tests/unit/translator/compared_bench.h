// Programs that the interpreter and translated code execute from the same state: both come to the same. The
// clock follows the retired instructions.
#pragma once

#include <cstring>
#include <initializer_list>
#include <vector>

#include "tests/unit/interp/protected_bench.h"
#include "translator/translator.h"

namespace vireo::translator {

class ComparedBench : public interp::ProtectedBench {
 protected:
  /// Puts the program at kCode; it ends with HLT, its own or a handler's. Returns the state then.
  CpuState run(std::initializer_list<uint8_t> program) {
    put(kCode, program);
    const CpuState before = cpu;
    const std::optional<uint8_t> interrupt = interrupts.vector;
    std::vector<uint8_t> ram(kRamBytes);
    memory->read({0}, ram);
    const RetiredClock retired_clock(cpu);
    CpuContext counting{cpu, *memory, mmu, ports, interrupts, retired_clock, attention, model, {}, {}};
    const auto run_on = [&](auto make_engine) {
      cpu = before;
      memory->write({0}, ram);
      interrupts.vector = interrupt;
      if (interrupt) attention.request(Attention::kInterrupt);
      mmu.control_registers_changed();
      const std::unique_ptr<ExecutionEngine> engine = make_engine();
      EXPECT_EQ(engine->run({cpu.retired + 10000}), ExitReason::kHalt);
      return cpu;
    };
    const CpuState expected = run_on([&] { return std::make_unique<interp::Interp>(counting); });
    for (const char* words : {"hot=0", "hot=0,no-system", "hot=0,block=2", "hot=0,window-after=0",
                              "hot=0,no-windows,window-after=0"}) {
      SCOPED_TRACE(words);
      const CpuState got =
          run_on([&] { return Translator::create(counting, parse_options(words).take()).take(); });
      EXPECT_EQ(got.gpr, expected.gpr);
      EXPECT_EQ(got.rip, expected.rip);
      EXPECT_EQ(got.rflags, expected.rflags);
      EXPECT_EQ(got.retired, expected.retired);
      EXPECT_EQ(got.cpl, expected.cpl);
      EXPECT_EQ(std::memcmp(&got.seg, &expected.seg, sizeof(got.seg)), 0);
      EXPECT_EQ(std::memcmp(&got.fx, &expected.fx, sizeof(FxState)), 0);
    }
    return expected;
  }

 private:
  class RetiredClock final : public Clock {
   public:
    explicit RetiredClock(const CpuState& cpu) : cpu_(cpu) {}
    VirtualNs now() const override { return static_cast<VirtualNs>(cpu_.retired * 1000); }

   private:
    const CpuState& cpu_;
  };
};

}  // namespace vireo::translator
