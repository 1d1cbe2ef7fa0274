// Blocks that look at the countdown behind their first instructions still end where they are told to, with
// the flags that the interpreter has there.
#include <cstring>

#include "tests/unit/interp/protected_bench.h"
#include "translator/translator.h"

namespace vireo::translator {
namespace {

class LatePollTest : public interp::ProtectedBench {
 protected:
  static constexpr uint32_t kData = 0x80000;

  LatePollTest() {
    // Blocks with loads and stores before the first instruction that sets all flags, with side exits behind
    // it, and one whose first instruction does.
    put(kCode, {0x89, 0xf3,                // outer: mov ebx,esi
                0x8b, 0x03,                // again: mov eax,[ebx]
                0x8b, 0x53, 0x04,          // mov edx,[ebx+4]
                0x89, 0x43, 0x08,          // mov [ebx+8],eax
                0x01, 0xd0,                // add eax,edx
                0x13, 0x43, 0x0c,          // adc eax,[ebx+12]
                0x72, 0x02,                // jc even
                0xd1, 0xc0,                // rol eax,1
                0x89, 0x43, 0x04,          // even: mov [ebx+4],eax
                0x83, 0xc3, 0x04,          // add ebx,4
                0x39, 0xfb,                // cmp ebx,edi
                0x75, 0xe5,                // jne again
                0x85, 0xc9,                // test ecx,ecx
                0x74, 0x03,                // jz end
                0x49, 0xeb, 0xdc, 0xf4});  // dec ecx; jmp outer; end: hlt
    for (uint32_t i = 0; i < 64; ++i) poke<uint32_t>(kData + i * 4, 0x9e3779b1u * i);
    cpu.reg(Gpr::kRsi) = kData;
    cpu.reg(Gpr::kRdi) = kData + 40;
    cpu.reg(Gpr::kRcx) = 200;
  }

  struct Stop {
    decltype(CpuState::gpr) gpr;
    uint64_t rip, rflags, retired;
    bool operator==(const Stop&) const = default;
  };

  /// The states at which run() came back.
  template <class MakeEngine>
  std::vector<Stop> run_in_slices(MakeEngine make_engine, uint64_t slice) {
    const CpuState before = cpu;
    std::vector<uint8_t> ram(kRamBytes);
    memory->read({0}, ram);
    mmu.control_registers_changed();
    const std::unique_ptr<ExecutionEngine> engine = make_engine();
    std::vector<Stop> stops;
    do {
      engine->run({cpu.retired + slice});
      stops.push_back({cpu.gpr, cpu.rip, cpu.rflags, cpu.retired});
    } while (!cpu.halted && stops.size() < 10'000);
    cpu = before;
    memory->write({0}, ram);
    return stops;
  }
};

TEST_F(LatePollTest, EndsWhereTheInterpreterDoes) {
  for (const uint64_t slice : {61, 97, 128, 251, 1000}) {
    SCOPED_TRACE(slice);
    const auto expected = run_in_slices([&] { return std::make_unique<interp::Interp>(context); }, slice);
    EXPECT_GT(expected.size(), 10u);
    for (const char* words : {"hot=0,window-after=0", "hot=0,no-windows,window-after=0",
                              "hot=0,window-after=0,no-late-poll", "hot=0,window-after=0,block=5"}) {
      SCOPED_TRACE(words);
      const auto make = [&] { return Translator::create(context, parse_options(words).take()).take(); };
      EXPECT_TRUE(run_in_slices(make, slice) == expected);
    }
  }
}

/// Accesses in front of a late poll that the fast path cannot make, with flags in EFLAGS and saved.
class BeforeLatePollTest : public LatePollTest {
 protected:
  static constexpr uint64_t kDirectory = 0x100000, kTable = 0x101000;
  static constexpr uint32_t kMmio = 0x1000'0000;
  static constexpr std::initializer_list<uint8_t>
      // again: mov ebx,esi; mov eax,[ebx+edi]; add eax,1; add edi,100h; cmp ecx,edi; jnz again; hlt
      kLoop = {0x89, 0xf3, 0x8b, 0x04, 0x3b, 0x83, 0xc0, 0x01, 0x81, 0xc7,
               0x00, 0x01, 0x00, 0x00, 0x39, 0xf9, 0x75, 0xee, 0xf4},
      // again: call f; add edi,100h; cmp ecx,edi; jnz again; hlt; f: mov eax,[esi+edi]; add eax,1; ret
      kFunction = {0xe8, 0x0b, 0x00, 0x00, 0x00, 0x81, 0xc7, 0x00, 0x01, 0x00, 0x00, 0x39,
                   0xf9, 0x75, 0xf1, 0xf4, 0x8b, 0x04, 0x3e, 0x83, 0xc0, 0x01, 0xc3},
      // again: call f; add ebx,100h; mov al,0; cmp ecx,ebx; jnz again; hlt; f: xlat; add eax,1; ret
      kTranslating = {0xe8, 0x0d, 0x00, 0x00, 0x00, 0x81, 0xc3, 0x00, 0x01, 0x00, 0x00, 0xb0,
                      0x00, 0x39, 0xd9, 0x75, 0xef, 0xf4, 0xd7, 0x83, 0xc0, 0x01, 0xc3};

  BeforeLatePollTest() {
    memory->map_mmio({kMmio}, kPageSize, registers, "registers");
    cpu.reg(Gpr::kRbx) = cpu.reg(Gpr::kRsi);
    cpu.reg(Gpr::kRdi) = 0;
    cpu.reg(Gpr::kRcx) = 0x1000;
  }
  /// All RAM at its address, but for the page behind kData.
  void enable_paging() {
    poke<uint32_t>(kDirectory, kTable | 3);
    for (uint32_t at = 0; at < kRamBytes; at += kPageSize)
      poke<uint32_t>(kTable + at / kPageSize * 4, at | (at == kData + kPageSize ? 0 : 3));
    cpu.cr3 = kDirectory;
    cpu.cr0 |= cr0::kPg;
  }
  void compare() {
    const auto run = [&](auto make) {
      registers.reads = 0;
      return run_in_slices(make, 100'000);
    };
    const auto expected = run([&] { return std::make_unique<interp::Interp>(context); });
    for (const char* words :
         {"hot=0,window-after=0", "hot=0,no-windows,window-after=0", "hot=3,window-after=0"}) {
      SCOPED_TRACE(words);
      EXPECT_TRUE(run([&] { return Translator::create(context, parse_options(words).take()).take(); }) ==
                  expected);
    }
  }
  interp::EchoPorts registers;
};

TEST_F(BeforeLatePollTest, PageFaultsShowTheFlags) {
  enable_paging();
  cpu.reg(Gpr::kRcx) = 0x8000;
  for (const auto& program : {kLoop, kFunction, kTranslating}) {
    put(kCode, program);
    compare();
  }
}

TEST_F(BeforeLatePollTest, SegmentLimitsShowTheFlags) {
  cpu.segment(SegReg::kDs).limit = kData + 0xfff;
  cpu.reg(Gpr::kRcx) = 0x8000;
  for (const auto& program : {kLoop, kFunction, kTranslating}) {
    put(kCode, program);
    compare();
  }
}

TEST_F(BeforeLatePollTest, DevicesAreRead) {
  cpu.reg(Gpr::kRsi) = kMmio;
  for (const auto& program : {kLoop, kFunction}) {
    put(kCode, program);
    compare();
    EXPECT_GE(registers.reads, 16u);
  }
}

}  // namespace
}  // namespace vireo::translator
