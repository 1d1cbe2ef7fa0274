// Loops of which a block holds several turns: wherever they stop, the state is the interpreter's.
#include <vector>

#include "tests/unit/interp/bench.h"
#include "translator/translator.h"

namespace vireo::translator {
namespace {

class UnrollTest : public interp::CpuBench {
 protected:
  UnrollTest() : CpuBench("core2duo-32") {
    set_vector(0, 0x700);  // #DE
    put(0x700, {0xf4});
    before = cpu;
  }

  std::unique_ptr<ExecutionEngine> translator(bool unroll) {
    return Translator::create(context, {.hot_threshold = 0, .code_cache_bytes = 1 << 20, .unroll = unroll})
        .take();
  }

  ExitReason run_on(ExecutionEngine& engine, uint64_t limit) {
    cpu = before;
    mmu.control_registers_changed();
    return engine.run({cpu.retired + limit});
  }

  /// The program ends with HLT. Stops it everywhere on the way.
  void expect_same_everywhere(std::initializer_list<uint8_t> program) {
    struct Stop {
      ExitReason reason;
      CpuState cpu;
    };
    const auto stops = [&](ExecutionEngine& engine) {
      std::vector<Stop> all;
      do {
        put(kCode, program);  // it may have patched itself
        const ExitReason reason = run_on(engine, all.size() + 1);
        all.push_back({reason, cpu});
      } while (all.back().reason != ExitReason::kHalt && all.size() < 1000);
      // Near its limit the translator leaves the rest to the interpreter: once more with room.
      put(kCode, program);
      const ExitReason reason = run_on(engine, 10000);
      all.push_back({reason, cpu});
      return all;
    };
    const std::vector<Stop> expected = stops(*interp);
    const auto engine = translator(true);
    const std::vector<Stop> got = stops(*engine);
    ASSERT_EQ(got.size(), expected.size());
    EXPECT_EQ(got.back().reason, ExitReason::kHalt);
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].reason, expected[i].reason);
      ASSERT_EQ(got[i].cpu.rip, expected[i].cpu.rip) << "after " << i + 1;
      ASSERT_EQ(got[i].cpu.gpr, expected[i].cpu.gpr) << "after " << i + 1;
      ASSERT_EQ(got[i].cpu.rflags, expected[i].cpu.rflags) << "after " << i + 1;
      ASSERT_EQ(got[i].cpu.retired, expected[i].cpu.retired);
    }
  }

  CpuState before;
};

TEST_F(UnrollTest, LoopClosedByAConditionalBranch) {
  // mov cx, 11; add ax, cx; xor bx, ax; dec cx; jnz add; hlt
  expect_same_everywhere({0xb9, 0x0b, 0x00, 0x01, 0xc8, 0x31, 0xc3, 0x49, 0x75, 0xf9, 0xf4});
}

TEST_F(UnrollTest, LoopWithItsTestAhead) {
  // mov cx, 9; cmp cx, 2; jb hlt; add ax, cx; sub cx, 1; jmp cmp; hlt
  expect_same_everywhere(
      {0xb9, 0x09, 0x00, 0x83, 0xf9, 0x02, 0x72, 0x07, 0x01, 0xc8, 0x83, 0xe9, 0x01, 0xeb, 0xf4, 0xf4});
}

TEST_F(UnrollTest, FaultInALaterTurn) {
  // mov cx, 6; mov ax, 100; div cl, which raises #DE in the seventh turn; mov ah, 0; dec cx; jns div; hlt
  expect_same_everywhere(
      {0xb9, 0x06, 0x00, 0xb8, 0x64, 0x00, 0xf6, 0xf1, 0xb4, 0x00, 0x49, 0x79, 0xf9, 0xf4});
}

TEST_F(UnrollTest, LoopThatPatchesItself) {
  // mov cx, 9; add al, 1; inc byte [cs:4], the immediate of ADD; dec cx; jnz add; hlt
  expect_same_everywhere(
      {0xb9, 0x09, 0x00, 0x04, 0x01, 0x2e, 0xfe, 0x06, 0x04, 0x00, 0x49, 0x75, 0xf6, 0xf4});
}

TEST_F(UnrollTest, BranchAsThePagesLastInstruction) {
  // mov cx, 7; jmp; and up to the end of the page: add ax, cx; dec cx; jnz add. Then hlt.
  put(kCode + 0xffb, {0x01, 0xc8, 0x49, 0x75, 0xfb, 0xf4});
  expect_same_everywhere({0xb9, 0x07, 0x00, 0xe9, 0xf5, 0x0f});
}

TEST_F(UnrollTest, ABlockHoldsTurns) {
  // mov cx, 100; inc ax; dec cx; jnz inc; hlt
  put(kCode, {0xb9, 0x64, 0x00, 0x40, 0x49, 0x75, 0xfc, 0xf4});
  const auto host_bytes = [&](bool unroll) {
    const auto engine = translator(unroll);
    EXPECT_EQ(run_on(*engine, 10000), ExitReason::kHalt);
    uint64_t bytes = 0;
    engine->visit_stats([&](std::string_view name, uint64_t value) {
      if (name == "blocks/host bytes") bytes = value;
    });
    return bytes;
  };
  EXPECT_GT(host_bytes(true), host_bytes(false));
}

}  // namespace
}  // namespace vireo::translator
