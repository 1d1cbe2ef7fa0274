// x87, MMX and SSE state between the CpuState and the host's units: instruction pointers, and when guest code
// may use the units. The oracle is the interpreter.
#include <cstring>
#include <functional>
#include <map>
#include <string>

#include "core/interp/fx_state.h"
#include "tests/unit/interp/bench.h"
#include "translator/translator.h"

namespace vireo::translator {
namespace {

using interp::X87Pointers;

constexpr uint16_t kScratch = 0x9000;  ///< DS:BX
constexpr X87Pointers kOld{.fop = 0x123, .fip = 0x4567, .fcs = 0x89, .fdp = 0xabcd, .fds = 0xef};

struct Outcome {
  CpuState cpu;
  std::array<uint64_t, 2> scratch;
  std::map<std::string, uint64_t> stats;
  uint64_t fpu_loads() const { return stats.at("translated code/FPU loads"); }
};

class FpuTest : public interp::CpuBench {
 protected:
  FpuTest() : CpuBench("core2duo-32") {
    for (const uint8_t vector : {6, 7, 16, 19}) set_vector(vector, 0x700);
    put(0x700, {0xf4});
    before = cpu;
    before.cr0 |= cr0::kNe;
    before.cr4 |= cr4::kOsfxsr | cr4::kOsxmmexcpt;
    before.reg(Gpr::kRbx) = kScratch;
    interp::init_x87(before.fx);
    before.fx.mxcsr = 0x1f80;
  }

  Outcome run_on(std::unique_ptr<ExecutionEngine> engine) {
    cpu = before;
    mmu.control_registers_changed();
    poke(kScratch, scratch);
    EXPECT_EQ(engine->run({cpu.retired + 1000}), ExitReason::kHalt);
    Outcome outcome{cpu, {peek<uint64_t>(kScratch), peek<uint64_t>(kScratch + 8)}, {}};
    engine->visit_stats([&](std::string_view name, uint64_t n) { outcome.stats[std::string(name)] = n; });
    return outcome;
  }

  /// Runs a program, which ends with HLT, translated at first sight; compares with the interpreter.
  Outcome run(std::initializer_list<uint8_t> program) {
    put(kCode, program);
    const Outcome expected = run_on(std::make_unique<interp::Interp>(context));
    const Options options{.hot_threshold = 0, .code_cache_bytes = 1 << 20};
    Outcome got = run_on(Translator::create(context, options).take());
    EXPECT_EQ(std::memcmp(&got.cpu.fx, &expected.cpu.fx, sizeof(FxState)), 0);
    EXPECT_EQ(got.cpu.gpr, expected.cpu.gpr);
    EXPECT_EQ(got.cpu.rip, expected.cpu.rip);
    EXPECT_EQ(got.cpu.rflags, expected.cpu.rflags);
    EXPECT_EQ(got.cpu.retired, expected.cpu.retired);
    EXPECT_EQ(got.scratch, expected.scratch);
    return got;
  }

  static void expect_pointers(const FxState& fx, const X87Pointers& expected) {
    EXPECT_EQ(fx.fip, expected.fip);
    EXPECT_EQ(fx.fcs, expected.fcs);
    EXPECT_EQ(fx.fop, expected.fop);
    EXPECT_EQ(fx.fdp, expected.fdp);
    EXPECT_EQ(fx.fds, expected.fds);
  }

  static X87Pointers instruction_at(uint32_t ip) {
    X87Pointers pointers = kOld;
    pointers.fip = ip;
    pointers.fcs = kCode >> 4;
    return pointers;
  }

  CpuState before;
  uint64_t scratch = 0x37f;
};

TEST_F(FpuTest, PointsAtTheLastInstruction) {
  kOld.store(before.fx);
  const Outcome o = run({0xd9, 0xe8,    // fld1
                         0xd8, 0xc0,    // fadd st0, st0
                         0x40, 0xf4});  // inc ax
  expect_pointers(o.cpu.fx, instruction_at(2));
  EXPECT_EQ(o.fpu_loads(), 1u);
}

TEST_F(FpuTest, PointsAtTheLastInstructionWithMemoryOperand) {
  kOld.store(before.fx);
  const Outcome o = run({0x26, 0xdf, 0x07,  // fild word es:[bx]
                         0x26, 0xdd, 0x1f,  // fstp qword es:[bx]
                         0xf4});
  expect_pointers(o.cpu.fx, instruction_at(3));
  EXPECT_EQ(o.fpu_loads(), 1u);
}

TEST_F(FpuTest, PointerSurvivesTheInterpreter) {
  const Outcome o = run({0xd9, 0xe8,        // fld1
                         0x0f, 0xa2,        // cpuid
                         0xbb, 0x00, 0x90,  // mov bx, kScratch
                         0x0f, 0x57, 0xc0,  // xorps xmm0, xmm0
                         0xf4});
  EXPECT_EQ(o.cpu.fx.fip, 0u);
  EXPECT_EQ(o.cpu.fx.fcs, kCode >> 4);
  EXPECT_EQ(o.fpu_loads(), 2u);
}

TEST_F(FpuTest, PointsAtTheLastInstructionBeforeASideExit) {
  kOld.store(before.fx);
  const Outcome o = run({0x31, 0xc0,  // xor ax, ax
                         0xd9, 0xe8,  // fld1
                         0x74, 0x02,  // jz to the hlt
                         0xd9, 0xee,  // fldz
                         0xf4});
  expect_pointers(o.cpu.fx, instruction_at(2));
}

TEST_F(FpuTest, ControlInstructionsKeepThePointer) {
  kOld.store(before.fx);
  const Outcome o = run({0xd9, 0xe8,              // fld1
                         0x26, 0xd9, 0x3f,        // fnstcw es:[bx]
                         0x26, 0xd9, 0x2f,        // fldcw es:[bx]
                         0x26, 0xdd, 0x7f, 0x02,  // fnstsw es:[bx+2]
                         0xdf, 0xe0,              // fnstsw ax
                         0xdb, 0xe2,              // fnclex
                         0x9b, 0xf4});            // fwait
  expect_pointers(o.cpu.fx, instruction_at(0));
}

TEST_F(FpuTest, PointerOfALoopsLastTurn) {
  kOld.store(before.fx);
  before.reg(Gpr::kRcx) = 37;
  const Outcome o = run({0xd9, 0xe8,  // next: fld1
                         0xdd, 0xd8,  // fstp st0
                         0x49,        // dec cx
                         0x75, 0xf9,  // jnz next
                         0x90, 0xf4});
  expect_pointers(o.cpu.fx, instruction_at(2));
}

TEST_F(FpuTest, StoreToTheCodePageIsTheInterpreters) {
  kOld.store(before.fx);
  before.segment(SegReg::kDs) = before.segment(SegReg::kCs);
  before.segment(SegReg::kDs).access = 0x93;
  before.reg(Gpr::kRbx) = 0x80;
  const Outcome o = run({0xd9, 0xe8,  // fld1
                         0xd9, 0x17,  // fst dword [bx]
                         0xd8, 0xc0,  // fadd st0, st0
                         0xd9, 0x1f,  // fstp dword [bx]
                         0xf4});
  expect_pointers(o.cpu.fx, instruction_at(6));
  EXPECT_EQ(peek<uint32_t>(kCode + 0x80), 0x40000000u);
}

TEST_F(FpuTest, ControlAndSimdInstructionsKeepThePointers) {
  kOld.store(before.fx);
  const Outcome o = run({0x0f, 0x28, 0xc1,  // movaps xmm0, xmm1
                         0xd9, 0x2f,        // fldcw [bx]
                         0xd9, 0x3f,        // fnstcw [bx]
                         0xdf, 0xe0,        // fnstsw ax
                         0xdb, 0xe2,        // fnclex
                         0x9b,              // wait
                         0x0f, 0xef, 0xc0,  // pxor mm0, mm0
                         0x0f, 0x77,        // emms
                         0xf4});
  expect_pointers(o.cpu.fx, kOld);
  EXPECT_EQ(o.fpu_loads(), 1u);
}

TEST_F(FpuTest, FninitClearsThePointers) {
  kOld.store(before.fx);
  const Outcome o = run({0xd9, 0xe8,  // fld1
                         0xdb, 0xe3,  // fninit
                         0xf4});
  expect_pointers(o.cpu.fx, {});
}

TEST_F(FpuTest, UnmaskingLeavesTheUnits) {
  scratch = 0x37b;                      // zero divide unmasked
  const Outcome o = run({0xd9, 0xe8,    // fld1
                         0xd9, 0x2f,    // fldcw [bx]
                         0xd9, 0xee,    // fldz
                         0xde, 0xf9,    // fdivp st1, st0
                         0x9b, 0xf4});  // wait: #MF
  EXPECT_EQ(o.cpu.rip, 0x701u);
  EXPECT_EQ(o.cpu.fx.fip, 6u);
  EXPECT_EQ(o.fpu_loads(), 1u);
}

TEST_F(FpuTest, UnmaskingSimdExceptionsLeavesTheUnits) {
  scratch = 0x1d80;                               // zero divide unmasked
  const Outcome o = run({0x0f, 0x57, 0xc0,        // xorps xmm0, xmm0
                         0x0f, 0xae, 0x17,        // ldmxcsr [bx]
                         0xb8, 0x01, 0x00,        // mov ax, 1
                         0xf3, 0x0f, 0x2a, 0xc8,  // cvtsi2ss xmm1, eax
                         0xf3, 0x0f, 0x5e, 0xc8,  // divss xmm1, xmm0: #XM
                         0xf4});
  EXPECT_EQ(o.cpu.rip, 0x701u);
  EXPECT_EQ(o.fpu_loads(), 1u);
}

TEST_F(FpuTest, LdmxcsrWithReservedBitsFaults) {
  set_vector(13, 0x700);
  scratch = 0x11f80;
  const Outcome o = run({0x0f, 0xae, 0x17, 0xf4});  // ldmxcsr [bx]
  EXPECT_EQ(o.cpu.rip, 0x701u);
}

TEST_F(FpuTest, UnitsLoadedForMmxDoNotPermitX87) {
  before.fx.fcw = 0x37e;
  const Outcome o = run({0x0f, 0xef, 0xc0,  // pxor mm0, mm0
                         0x0f, 0x77,        // emms
                         0xd9, 0xe8,        // fld1
                         0xf4});
  EXPECT_EQ(o.fpu_loads(), 1u);
  EXPECT_EQ(o.stats.at("translated code/exits: FPU not to be used"), 1u);
}

struct Permission {
  const char* name;
  std::function<void(CpuState&)> prepare;
  bool x87, mmx, sse;
};

class FpuPermissionTest : public FpuTest, public ::testing::WithParamInterface<Permission> {};

TEST_P(FpuPermissionTest, DecidesWhetherTheUnitsAreLoaded) {
  GetParam().prepare(before);
  EXPECT_EQ(run({0xd9, 0xe8, 0xf4}).fpu_loads(), GetParam().x87) << "fld1";
  EXPECT_EQ(run({0x0f, 0xef, 0xc0, 0xf4}).fpu_loads(), GetParam().mmx) << "pxor mm0, mm0";
  EXPECT_EQ(run({0x0f, 0x57, 0xc0, 0xf4}).fpu_loads(), GetParam().sse) << "xorps xmm0, xmm0";
}

const Permission kPermissions[] = {
    {"Usual", [](CpuState&) {}, true, true, true},
    {"Em", [](CpuState& c) { c.cr0 |= cr0::kEm; }, false, false, false},
    {"Ts", [](CpuState& c) { c.cr0 |= cr0::kTs; }, false, false, false},
    {"NoOsfxsr", [](CpuState& c) { c.cr4 &= ~cr4::kOsfxsr; }, true, true, false},
    {"X87Unmasked", [](CpuState& c) { c.fx.fcw = 0x37e; }, false, true, true},
    {"SimdUnmasked", [](CpuState& c) { c.fx.mxcsr = 0x1f00; }, true, true, false},
    {"Pending",
     [](CpuState& c) {
       c.fx.fcw = 0x37e;
       c.fx.fsw = interp::fsw::kIe | interp::fsw::kEs | interp::fsw::kB;
     },
     false, false, false},
};
INSTANTIATE_TEST_SUITE_P(States, FpuPermissionTest, ::testing::ValuesIn(kPermissions),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace vireo::translator
