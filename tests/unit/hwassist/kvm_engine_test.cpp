// The engine on KVM, next to the interpreter. Where there is no usable /dev/kvm, all of it is skipped; the
// test bed of tests/system/nested_kvm.py has one.
#include "hwassist/kvm_engine.h"

#include <memory>
#include <string>
#include <thread>

#include "hwassist/kvm_probe.h"
#include "tests/unit/interp/bench.h"

namespace vireo::hwassist {
namespace {

const KvmReport& host_report() {
  static const KvmReport report = probe_kvm({});
  return report;
}

/// Real mode at kCode, ports 80h to 8Fh, memory of a device at kDevice.
class KvmEngineTest : public interp::CpuBench {
 protected:
  static constexpr uint32_t kDevice = 0xa0000, kScratch = 0x9000;

  KvmEngineTest() : CpuBench("core2duo-32") {}

  void SetUp() override {
    if (!host_report().usable) GTEST_SKIP() << "KVM is " << host_report().problem;
  }
  void make(std::string_view failures = {}) {
    auto made = KvmEngine::create(context, failures);
    ASSERT_TRUE(made.ok()) << made.error().message;
    engine = made.take();
  }
  ExitReason run() { return engine->run({}); }
  /// The device is at kDevice, and DS is there.
  void address_device(IoRegion& device) {
    memory->unmap({0});
    memory->map_ram({0}, kDevice, 0, "low RAM");
    memory->map_mmio({kDevice}, kPageSize, device, "device");
    cpu.segment(SegReg::kDs) = {.base = kDevice, .limit = 0xffff, .selector = kDevice >> 4, .access = 0x93};
  }

  std::unique_ptr<KvmEngine> engine;
};

TEST_F(KvmEngineTest, RunsToHaltWithAllRegisters) {
  put(kCode, {0x66, 0xb8, 0x78, 0x56, 0x34, 0x12,  // mov eax, 12345678h
              0x66, 0x89, 0xc3,                    // mov ebx, eax
              0x66, 0xf7, 0xd3,                    // not ebx
              0xf9, 0xf4});                        // stc; hlt
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRax), 0x12345678u);
  EXPECT_EQ(reg(Gpr::kRbx), ~0x12345678u);
  EXPECT_TRUE(cpu.rflags & rflags::kCf);
  EXPECT_EQ(cpu.rip, 14u);
  EXPECT_TRUE(cpu.halted);
}

TEST_F(KvmEngineTest, PortsBothWaysAndInStrings) {
  put(kScratch, {1, 2, 3, 4});
  put(kCode, {0xb0, 0x5a, 0xe6, 0x81,           // mov al, 5Ah; out 81h, al
              0xe4, 0x82, 0x88, 0xc3,           // in al, 82h; mov bl, al
              0xbe, 0x00, 0x90, 0xb9, 4,    0,  // mov si, kScratch; mov cx, 4
              0xba, 0x83, 0x00, 0xf3, 0x6e,     // mov dx, 83h; rep outsb
              0xf4});
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRbx) & 0xff, 0x5au);
  EXPECT_EQ(echo.writes, 5u);
  EXPECT_EQ(echo.last_value, 4u);
  EXPECT_EQ(echo.last_offset, 3u);
}

TEST_F(KvmEngineTest, DeviceMemory) {
  interp::EchoPorts device;
  address_device(device);
  put(kCode, {0xc6, 0x06, 0x05, 0x00, 0x77,              // mov byte [5], 77h
              0x66, 0xc7, 0x06, 0x08, 0x00, 4, 3, 2, 1,  // mov dword [8], 01020304h
              0xa1, 0x00, 0x00, 0xf4});                  // mov ax, [0]; hlt
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(device.writes, 2u);
  EXPECT_EQ(device.last_offset, 8u);
  EXPECT_EQ(device.last_value, 0x01020304u);
  EXPECT_EQ(reg(Gpr::kRax) & 0xffff, 0x0304u);
}

/// Of KVM's ring and of exits, in the program's order.
TEST_F(KvmEngineTest, WritesThatMayWaitArriveInOrder) {
  struct Patient final : IoRegion {
    uint64_t read(uint32_t, unsigned) override { return written.size(); }
    void write(uint32_t offset, unsigned, uint64_t value) override { written.emplace_back(offset, value); }
    bool writes_may_wait() const override { return true; }
    std::vector<std::pair<uint32_t, uint64_t>> written;
  } device;
  memory->unmap({0});
  memory->map_ram({0}, kDevice, 0, "low RAM");
  memory->map_mmio({kDevice}, kPageSize, device, "device");
  cpu.segment(SegReg::kEs) = {.base = kDevice, .limit = 0xffff, .selector = kDevice >> 4, .access = 0x93};
  std::vector<size_t> seen;
  echo.on_write = [&] { seen.push_back(device.written.size()); };
  put(kCode, {0xb9, 0x2c, 0x01, 0x31, 0xff, 0xb0, 0x77,    // mov cx, 300; xor di, di; mov al, 77h
              0xf3, 0xaa,                                  // rep stosb
              0xe6, 0x80,                                  // out 80h, al
              0x26, 0xc6, 0x06, 0x05, 0x00, 0x66,          // mov byte [es:5], 66h
              0x26, 0x8b, 0x1e, 0x00, 0x00,                // mov bx, [es:0]
              0x26, 0xc6, 0x06, 0x06, 0x00, 0x55, 0xf4});  // mov byte [es:6], 55h; hlt
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(seen, std::vector<size_t>{300});
  EXPECT_EQ(reg(Gpr::kRbx), 301u);
  ASSERT_EQ(device.written.size(), 302u);
  for (uint32_t i = 0; i < 300; ++i) EXPECT_EQ(device.written[i], (std::pair<uint32_t, uint64_t>{i, 0x77}));
  EXPECT_EQ(device.written[300].second, 0x66u);
  EXPECT_EQ(device.written[301].second, 0x55u);
}

TEST_F(KvmEngineTest, InterruptsWhenTheGuestPermits) {
  set_vector(0x21, 0x700);
  put(0x700, {0x43, 0xcf});                  // inc bx; iret
  put(kCode, {0xe6, 0x80, 0x90, 0x90,        // out 80h, al: the interrupt comes
              0x89, 0xd9, 0xfb, 0x90, 0x90,  // mov cx, bx; sti; nop; nop
              0xfa, 0xf4});                  // cli; hlt
  echo.on_write = [&] {
    interrupts.vector = 0x21;
    attention.request(Attention::kInterrupt);
  };
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRcx) & 0xffff, 0u);
  EXPECT_EQ(reg(Gpr::kRbx) & 0xffff, 1u);
}

TEST_F(KvmEngineTest, AnInterruptEndsAHalt) {
  set_vector(0x30, 0x700);
  put(0x700, {0x43, 0xcf});                    // inc bx; iret
  put(kCode, {0xfb, 0xf4, 0x41, 0xfa, 0xf4});  // sti; hlt; inc cx; cli; hlt
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(run(), ExitReason::kHalt);  // nothing has changed
  interrupts.vector = 0x30;
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRbx) & 0xffff, 1u);
  EXPECT_EQ(reg(Gpr::kRcx) & 0xffff, 1u);
}

TEST_F(KvmEngineTest, NonMaskableInterrupts) {
  set_vector(2, 0x700);
  put(0x700, {0x43, 0xcf});  // inc bx; iret
  put(kCode, {0xe6, 0x80, 0x90, 0x90, 0xf4});
  echo.on_write = [&] {
    cpu.nmi_pending = true;
    attention.request(Attention::kNmi);
  };
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRbx) & 0xffff, 1u);
}

TEST_F(KvmEngineTest, ARequestEndsALoop) {
  put(kCode, {0xeb, 0xfe});  // jmp to itself
  make();
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    attention.request(Attention::kExit);
  });
  EXPECT_EQ(run(), ExitReason::kAttention);
  other.join();
  EXPECT_EQ(cpu.rip, 0u);
}

TEST_F(KvmEngineTest, TheCallerMayChangeTheState) {
  put(kCode, {0x40, 0xf4, 0x40, 0xf4});  // inc ax; hlt; inc ax; hlt
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  cpu.halted = false;
  cpu.reg(Gpr::kRax) = 100;
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRax), 101u);
}

TEST_F(KvmEngineTest, TripleFault) {
  cpu.idtr.limit = 0;
  put(kCode, {0x0f, 0x0b});  // ud2
  make();
  EXPECT_EQ(run(), ExitReason::kShutdown);
  EXPECT_TRUE(cpu.shutdown);
}

TEST_F(KvmEngineTest, AClosedA20GateIsForAnotherEngine) {
  put(kCode, {0xf4});
  memory->set_a20(false);
  make();
  EXPECT_EQ(run(), ExitReason::kCannotRun);
  memory->set_a20(true);
  EXPECT_EQ(run(), ExitReason::kHalt);
}

TEST_F(KvmEngineTest, FloatingPointStateGoesBothWays) {
  cpu.cr0 |= cr0::kNe;
  cpu.fx.fcw = 0x37f;
  cpu.fx.ftw = 0;
  cpu.cr4 |= cr4::kOsfxsr;
  cpu.fx.xmm[1].fill(0x11);
  put(kCode, {0xd9, 0xe8,                // fld1
              0x0f, 0x28, 0xc1,          // movaps xmm0, xmm1
              0x0f, 0x57, 0xd2, 0xf4});  // xorps xmm2, xmm2
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(cpu.fx.xmm[0], cpu.fx.xmm[1]);
  EXPECT_EQ(cpu.fx.ftw, 0x80);
  EXPECT_EQ(cpu.fx.st[0][9], 0x3f);  // 1.0
}

TEST_F(KvmEngineTest, ModelSpecificRegistersAreTheModels) {
  // MTRR_CAP, which the models have; APIC_BASE
  put(kCode,
      {0x66, 0xb9, 0xfe, 0,    0, 0, 0x0f, 0x32,                    // mov ecx, 0FEh; rdmsr
       0x66, 0x89, 0xc3,                                            // mov ebx, eax
       0x66, 0xb9, 0x74, 0x01, 0, 0,                                // mov ecx, 174h
       0x66, 0xb8, 0x60, 0,    0, 0, 0x66, 0x31, 0xd2, 0x0f, 0x30,  // mov eax, 60h; xor edx, edx; wrmsr
       0xf4});
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRbx), 0x508u);
  EXPECT_EQ(cpu.msr.sysenter_cs, 0x60u);
}

/// A program that counts, writes to a port and to memory in turns, on the interpreter and on KVM.
TEST_F(KvmEngineTest, SameAsTheInterpreter) {
  put(kCode, {0x66, 0xb9, 0x10, 0x27, 0,    0,           // mov ecx, 10000
              0x66, 0x31, 0xc0,                          // xor eax, eax
              0x66, 0x01, 0xc8, 0x66, 0xc1, 0xc0, 0x03,  // next: add eax, ecx; rol eax, 3
              0x66, 0xa3, 0x00, 0x90,                    // mov [kScratch], eax
              0x66, 0x33, 0x06, 0x02, 0x90,              // xor eax, [kScratch + 2]
              0x66, 0xff, 0xc9, 0x75, 0xeb, 0xf4});      // dec ecx; jnz next; hlt
  const CpuState before = cpu;
  run_to_halt(1'000'000);
  const CpuState expected = cpu;
  cpu = before;
  poke<uint64_t>(kScratch, 0);
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(cpu.gpr, expected.gpr);
  EXPECT_EQ(cpu.rip, expected.rip);
  EXPECT_EQ(cpu.rflags, expected.rflags);
}

TEST_F(KvmEngineTest, TheTscIsWhatTheStateSays) {
  put(kCode, {0x0f, 0x31, 0xf4});  // rdtsc; hlt
  make();
  // Steps of less than a second, which KVM would rather not take.
  for (const uint64_t wanted : {uint64_t{3'000'000'000}, uint64_t{2'600'000'000}, uint64_t{3'100'000'000}}) {
    start(kCode);
    cpu.halted = false;
    cpu.tsc_offset += wanted - context.tsc();
    ASSERT_EQ(run(), ExitReason::kHalt);
    EXPECT_GE(reg(Gpr::kRax), wanted);
    EXPECT_LT(reg(Gpr::kRax), wanted + 300'000'000);
    EXPECT_GE(context.tsc(), uint64_t{reg(Gpr::kRax)});
  }
}

TEST_F(KvmEngineTest, PageTablesThatDevicesWriteAreSeen) {
  constexpr uint32_t kDirectory = 0x20000, kTable = 0x21000, kFirst = 0x30000, kSecond = 0x31000;
  poke<uint32_t>(kDirectory, 0x83);  // the first 4 MiB where they are
  poke<uint32_t>(kDirectory + 4, kTable | 3);
  poke<uint32_t>(kTable, kFirst | 3);
  poke<uint32_t>(kFirst, 1);
  poke<uint32_t>(kSecond, 2);
  for (Segment& s : cpu.seg) s = {.base = 0, .limit = 0xffffffff, .selector = 0x10, .access = 0xc093};
  cpu.segment(SegReg::kCs) = {.base = 0, .limit = 0xffffffff, .selector = 8, .access = 0xc09b};
  cpu.rip = kCode;
  cpu.cr0 |= cr0::kPe | cr0::kPg;
  cpu.cr3 = kDirectory;
  cpu.cr4 |= cr4::kPse;
  put(kCode, {0x8b, 0x1d, 0,    0, 0x40, 0,    0xe6, 0x80,  // mov ebx, [400000h]; out 80h, al
              0x0f, 0x01, 0x3d, 0, 0,    0x40, 0,           // invlpg [400000h]
              0x8b, 0x0d, 0,    0, 0x40, 0,    0xf4});      // mov ecx, [400000h]; hlt
  echo.on_write = [&] { poke<uint32_t>(kTable, kSecond | 3); };
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRbx), 1u);
  EXPECT_EQ(reg(Gpr::kRcx), 2u);
}

TEST_F(KvmEngineTest, AKvmThatHangsIsNoKvm) {
  const KvmReport report = probe_kvm("KVM_RUN@2!", std::chrono::milliseconds(300));
  EXPECT_FALSE(report.usable);
  EXPECT_EQ(report.problem, "present, but a trial of it did not end within 0.3 s");
}

TEST_F(KvmEngineTest, WhatFailsWhileItIsMadeIsSaid) {
  for (const KvmRequest& request :
       {request::kCreateVm, request::kCreateVcpu, request::kGetVcpuMmapSize, request::kSetCpuid2}) {
    const auto made = KvmEngine::create(context, std::string(request.name) + "@1+");
    ASSERT_FALSE(made.ok()) << request.name;
    EXPECT_NE(made.error().message.find(request.name), std::string::npos) << made.error().message;
    EXPECT_EQ(made.error().status, ExitStatus::kHostCannot);
  }
}

TEST_F(KvmEngineTest, ARunThatFailsKeepsTheState) {
  put(kCode, {0x40, 0xe6, 0x80, 0x40, 0xe6, 0x80, 0xf4});  // inc ax; out 80h, al; inc ax; out 80h, al; hlt
  make("KVM_RUN@2");
  ASSERT_EQ(run(), ExitReason::kBroken);
  EXPECT_NE(engine->broken().find("KVM_RUN"), std::string::npos);
  EXPECT_FALSE(engine->state_lost());
  EXPECT_EQ(reg(Gpr::kRax), 1u);
  EXPECT_EQ(cpu.rip, 3u);
  EXPECT_EQ(run(), ExitReason::kBroken);
  // Another engine goes on from there.
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRax), 2u);
  EXPECT_EQ(echo.writes, 2u);
}

TEST_F(KvmEngineTest, AnAccessIsOverBeforeAnotherEngineHasItsTurn) {
  put(kCode, {0xe4, 0x80, 0xe6, 0x81, 0xf4});  // in al, 80h; out 81h, al; hlt
  echo.last_value = 0x5a;
  echo.on_read = [&] { attention.request(Attention::kExit); };
  make();
  ASSERT_EQ(run(), ExitReason::kAttention);
  EXPECT_EQ(cpu.rip, 2u);
  EXPECT_EQ(reg(Gpr::kRax) & 0xff, 0x5au);
  echo.on_write = [&] { attention.request(Attention::kExit); };
  make("KVM_RUN@2");  // fails to finish OUT at first
  ASSERT_EQ(run(), ExitReason::kAttention);
  EXPECT_EQ(cpu.rip, 4u);
  echo.on_write = {};
  run_to_halt();
  EXPECT_EQ(echo.reads, 1u);
  EXPECT_EQ(echo.writes, 1u);
}

TEST_F(KvmEngineTest, WhenItBreaksInTheMiddleOfAnAccessThatIsKnown) {
  put(kCode, {0xe4, 0x80, 0xf4});  // in al, 80h; hlt
  echo.last_value = 0x5a;
  make("KVM_RUN@2+");
  ASSERT_EQ(run(), ExitReason::kBroken);
  EXPECT_EQ(cpu.rip, 0u);
  ASSERT_EQ(engine->open_accesses().size(), 1u);
  const DeviceAccess in = engine->open_accesses()[0];
  EXPECT_FALSE(in.write);
  EXPECT_EQ(in.address, 0x80u);
  EXPECT_EQ(in.value, 0x5au);

  start(kCode);
  put(kCode, {0xb0, 0x77, 0xe6, 0x81, 0xf4});  // mov al, 77h; out 81h, al; hlt
  make("KVM_RUN@2+");
  ASSERT_EQ(run(), ExitReason::kBroken);
  const std::vector<DeviceAccess> open = engine->open_accesses();
  ASSERT_EQ(open.size(), cpu.rip == 2 ? 1u : 0u) << "or KVM has finished it";
  AccessReplay replay(open);
  if (!open.empty()) {
    EXPECT_EQ(open[0].value, 0x77u);
    ports.set_replay(&replay);
  }
  run_to_halt();
  ports.set_replay(nullptr);
  EXPECT_EQ(echo.writes, 1u);
}

TEST_F(KvmEngineTest, InstructionsThatItCannotEmulateAreForAnotherEngine) {
  put(kCode,
      {0x40, 0xe4, 0x80, 0x43, 0xe6, 0x81, 0x43, 0xf4});  // inc ax; in al, 80h; inc bx; out 81h, al; ...
  echo.last_value = 0x5a;
  make("KVM_RUN@2~2");
  ASSERT_EQ(run(), ExitReason::kCannotRun);
  EXPECT_EQ(cpu.rip, 3u) << "the access is over";
  EXPECT_EQ(reg(Gpr::kRax) & 0xff, 0x5au);
  ASSERT_EQ(run(), ExitReason::kCannotRun);
  EXPECT_EQ(cpu.rip, 6u);
  EXPECT_EQ(echo.reads, 1u);
  EXPECT_EQ(echo.writes, 1u);
}

TEST_F(KvmEngineTest, StructuresThatCannotBeSetLeaveTheStateAlone) {
  put(kCode, {0x40, 0xf4});
  for (const KvmRequest& request :
       {request::kSetRegs, request::kSetSregs, request::kSetXsave, request::kSetVcpuEvents,
        request::kSetDebugregs, request::kSetMsrs, request::kSetUserMemoryRegion}) {
    make(std::string(request.name) + "@1+");
    const CpuState before = cpu;
    ASSERT_EQ(run(), ExitReason::kBroken) << request.name;
    EXPECT_NE(engine->broken().find(request.name), std::string::npos) << engine->broken();
    EXPECT_FALSE(engine->state_lost());
    EXPECT_EQ(cpu.gpr, before.gpr);
    EXPECT_EQ(cpu.rip, before.rip);
  }
}

TEST_F(KvmEngineTest, AnInterruptThatHasGoneIsNotTaken) {
  set_vector(0x21, 0x700);
  put(0x700, {0x43, 0xcf});            // inc bx; iret
  put(kCode, {0xe6, 0x80, 0xe6, 0x81,  // out 80h, al: it comes; out 81h, al: it goes
              0xfb, 0x90, 0x90, 0xfa, 0xf4});
  echo.on_write = [&] {
    if (echo.last_offset == 0) {
      interrupts.vector = 0x21;
    } else {
      interrupts.vector.reset();
    }
    if (interrupts.vector) attention.request(Attention::kInterrupt);
  };
  make();
  ASSERT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRbx) & 0xffff, 0u);
}

TEST_F(KvmEngineTest, AnInterruptThatKvmDoesNotTakeIsForTheNextEngine) {
  set_vector(0x21, 0x700);
  put(0x700, {0x43, 0xcf});                          // inc bx; iret
  put(kCode, {0xfb, 0xe6, 0x80, 0x90, 0xfa, 0xf4});  // sti; out 80h, al; nop; cli; hlt
  echo.on_write = [&] {
    interrupts.vector = 0x21;
    attention.request(Attention::kInterrupt);
  };
  make("KVM_INTERRUPT@1+");
  ASSERT_EQ(run(), ExitReason::kBroken);
  EXPECT_EQ(cpu.accepted.kind, AcceptedEvent::Kind::kExternal);
  EXPECT_EQ(cpu.accepted.vector, 0x21);
  run_to_halt();
  EXPECT_EQ(reg(Gpr::kRbx) & 0xffff, 1u);
}

TEST_F(KvmEngineTest, WhatKvmCannotEmulateIsForAnotherEngine) {
  interp::EchoPorts device;
  address_device(device);
  cpu.fx.fcw = 0x37f;
  cpu.fx.ftw = 0;
  put(kCode, {0xd9, 0xe8,                      // fld1
              0xd9, 0x1e, 0x10, 0x00, 0xf4});  // fstp dword [10h]
  make();
  ASSERT_EQ(run(), ExitReason::kCannotRun);
  EXPECT_EQ(cpu.rip, 2u);
  EXPECT_EQ(cpu.accepted.kind, AcceptedEvent::Kind::kNone);
  run_to_halt();
  EXPECT_EQ(device.last_value, 0x3f800000u);
}

TEST_F(KvmEngineTest, WhatIsNotThereOnceIsAskedForAgain) {
  put(kCode, {0x40, 0xf4});
  make("KVM_GET_XSAVE@1,KVM_GET_MSRS@3,KVM_GET_DEBUGREGS@3");
  EXPECT_EQ(run(), ExitReason::kHalt);
  EXPECT_EQ(reg(Gpr::kRax), 1u);
}

TEST_F(KvmEngineTest, WhatCannotBeHadAnyMoreIsSaidToBeLost) {
  put(kCode, {0x40, 0xf4});
  make("KVM_GET_XSAVE@1+");
  EXPECT_EQ(run(), ExitReason::kBroken);
  EXPECT_TRUE(engine->state_lost());
  EXPECT_NE(engine->broken().find("KVM_GET_XSAVE"), std::string::npos);
}

}  // namespace
}  // namespace vireo::hwassist
