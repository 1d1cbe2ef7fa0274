// Blocks that look at the countdown behind their first instructions still end where they are told to, with
// the flags that the interpreter has there.
#include <signal.h>
#include <time.h>

#include <cstring>
#include <utility>

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

/// The countdown's operand is one byte, in each form of the poll.
TEST_F(LatePollTest, TheLongestBlocksCountAllInstructions) {
  for (const uint8_t first :
       {0x01, 0x11}) {  // next: add eax,ebx, or adc; 61 times adc edx,eax; dec ecx; jnz next; hlt
    std::vector<uint8_t> code{first, 0xd8};
    for (unsigned i = 0; i < 61; ++i) code.insert(code.end(), {0x11, 0xc2});
    code.insert(code.end(), {0x49, 0x75, 0x81, 0xf4});
    memory->write({kCode}, code);
    cpu.reg(Gpr::kRbx) = 0x9e3779b1;
    const auto expected = run_in_slices([&] { return std::make_unique<interp::Interp>(context); }, 1000);
    EXPECT_EQ(expected.size(), 13u);
    for (const char* words : {"hot=0,block=64", "hot=0,block=64,window-after=0"}) {
      SCOPED_TRACE(words);
      const auto make = [&] { return Translator::create(context, parse_options(words).take()).take(); };
      EXPECT_TRUE(run_in_slices(make, 1000) == expected);
    }
  }
}

TEST_F(LatePollTest, AlarmsInFrontOfIt) {
  // again: mov ebx,esi; mov eax,[ebx]; mov edx,[ebx+4]; mov ebp,ecx; mov ebx,edi; mov ebp,[esi+8]; mov
  // eax,ecx; add ecx,edx, where the poll is; adc edi,ebp; jmp again
  put(kCode, {0x89, 0xf3, 0x8b, 0x03, 0x8b, 0x53, 0x04, 0x89, 0xcd, 0x89, 0xfb,
              0x8b, 0x6e, 0x08, 0x89, 0xc8, 0x01, 0xd1, 0x11, 0xef, 0xeb, 0xea});
  constexpr uint32_t kBehindPoll = kCode + 18;
  constexpr unsigned kTimes = 100;
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = Attention::signal_number();
  event.sigev_value.sival_ptr = &attention;
  timer_t alarm;
  ASSERT_EQ(timer_create(CLOCK_MONOTONIC, &event, &alarm), 0);
  for (const char* words : {"hot=0,window-after=0,no-unroll", "hot=0,no-windows,window-after=0,no-unroll"}) {
    SCOPED_TRACE(words);
    const CpuState start = cpu;
    CpuState expected = cpu;
    mmu.control_registers_changed();
    const auto engine = Translator::create(context, parse_options(words).take()).take();
    unsigned at_poll = 0;
    for (unsigned i = 0; i < kTimes; ++i) {
      const itimerspec soon{{}, {0, 20'000 + 97 * i}};
      timer_settime(alarm, 0, &soon, nullptr);
      EXPECT_EQ(engine->run({}), ExitReason::kAttention);
      const CpuState got = std::exchange(cpu, expected);
      interp->run({got.retired});
      expected = std::exchange(cpu, got);
      EXPECT_EQ(got.rip, expected.rip);
      EXPECT_EQ(got.gpr, expected.gpr);
      EXPECT_EQ(got.rflags, expected.rflags);
      at_poll += got.rip == kBehindPoll;
    }
    bool polls_late = false;  // where the host can have windows, and probes that trust
    engine->visit_stats([&](std::string_view name, uint64_t) {
      polls_late |= name.starts_with("windows/") || name.starts_with("probes that trust/");
    });
    EXPECT_TRUE(!polls_late || at_poll > kTimes / 2) << at_poll;
    cpu = start;
  }
  timer_delete(alarm);
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

TEST_F(BeforeLatePollTest, InterruptsThatDevicesRaiseWhenTheyAreRead) {
  cpu.reg(Gpr::kRsi) = kMmio;
  cpu.rflags |= rflags::kIf;
  put(handler(0x40), {0x58, 0x5b, 0x5a, 0xf4});  // pop eax, EIP; pop ebx, CS; pop edx, EFLAGS; hlt
  for (const auto& program : {kLoop, kFunction}) {
    put(kCode, program);
    for (const unsigned nth : {0, 1, 2, 3, 9, 15}) {
      SCOPED_TRACE(nth);
      registers.on_read = [&] {
        if (registers.reads != nth) return;
        interrupts.vector = 0x40;
        attention.request(Attention::kInterrupt);
      };
      compare();
      EXPECT_EQ(registers.reads, nth + 1);
    }
  }
}

}  // namespace
}  // namespace vireo::translator
