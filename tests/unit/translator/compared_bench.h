// Programs that the interpreter and translated code execute from the same state: both come to the same, in
// registers and in RAM. The clock follows the retired instructions.
#pragma once

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "tests/unit/interp/protected_bench.h"
#include "translator/translator.h"

namespace vireo::translator {

class ComparedBench : public interp::ProtectedBench {
 protected:
  static constexpr uint32_t kDirectory = 0x100000;  ///< the page tables are behind it
  static constexpr uint32_t kPresent = 1, kWritable = 2, kUser = 4, kAll = 7, kAccessed = 0x20, kDirty = 0x40;

  /// All RAM at its address, for all rings.
  void enable_paging() {
    for (uint32_t at = 0; at < kRamBytes; at += kPageSize) map(at, at);
    cpu.cr3 = kDirectory;
    cpu.cr0 |= cr0::kPg;
  }
  void map(uint32_t linear, uint32_t physical, uint32_t rights = kAll) {
    const uint64_t entry = kDirectory + linear / (4u << 20) * 4;
    if (peek<uint32_t>(entry) == 0) poke<uint32_t>(entry, (next_table_ += kPageSize) | kAll | kAccessed);
    poke<uint32_t>(page_entry(linear), physical | rights);
  }
  uint32_t page_entry(uint32_t linear) {
    const uint32_t table = peek<uint32_t>(kDirectory + linear / (4u << 20) * 4) & ~0xfffu;
    return table + linear / kPageSize % 1024 * 4;
  }

  /// Puts the program at kCode; it ends with HLT, its own or a handler's. Returns the state then.
  CpuState run(std::span<const uint8_t> program) {
    memory->write({kCode}, program);
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
      mmu.flush();
      const std::unique_ptr<ExecutionEngine> engine = make_engine();
      EXPECT_EQ(engine->run({cpu.retired + 10000}), ExitReason::kHalt);
      engine->visit_stats(
          [&](std::string_view name, uint64_t value) { counters[std::string(name)] = value; });
      return cpu;
    };
    const CpuState expected = run_on([&] { return std::make_unique<interp::Interp>(counting); });
    std::vector<uint8_t> expected_ram(kRamBytes);
    memory->read({0}, expected_ram);
    for (const char* words : engines) {
      SCOPED_TRACE(words);
      const CpuState got =
          run_on([&] { return Translator::create(counting, parse_options(words).take()).take(); });
      EXPECT_EQ(got.gpr, expected.gpr);
      EXPECT_EQ(got.rip, expected.rip);
      EXPECT_EQ(got.rflags, expected.rflags);
      EXPECT_EQ(got.retired, expected.retired);
      EXPECT_EQ(got.cpl, expected.cpl);
      EXPECT_EQ(got.cr2, expected.cr2);
      EXPECT_EQ(std::memcmp(&got.seg, &expected.seg, sizeof(got.seg)), 0);
      EXPECT_EQ(std::memcmp(&got.fx, &expected.fx, sizeof(FxState)), 0);
      EXPECT_TRUE(std::ranges::equal(memory->ram().first(kRamBytes), expected_ram));
    }
    return expected;
  }
  CpuState run(std::initializer_list<uint8_t> program) {
    return run(std::span(program.begin(), program.size()));
  }

  /// What is compared with the interpreter.
  std::vector<const char*> engines = {"hot=0", "hot=0,no-system", "hot=0,block=2", "hot=0,window-after=0",
                                      "hot=0,no-windows,window-after=0"};
  std::map<std::string, uint64_t> counters;  ///< of the one that ran last

 private:
  class RetiredClock final : public Clock {
   public:
    explicit RetiredClock(const CpuState& cpu) : cpu_(cpu) {}
    VirtualNs now() const override { return static_cast<VirtualNs>(cpu_.retired * 1000); }

   private:
    const CpuState& cpu_;
  };

  uint32_t next_table_ = kDirectory;
};

}  // namespace vireo::translator
