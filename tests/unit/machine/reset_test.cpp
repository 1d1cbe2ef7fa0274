// Which resets reach the CPU alone and which the board, seen by a boot sector.
#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

#include "core/machine/machine.h"
#include "tests/unit/memory_backend.h"

namespace vireo {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr uint8_t kMark = 0xa5;           ///< what the boot sector leaves in the interrupt mask of the 8259
constexpr uint8_t kResumeWithout = 0x0a;  ///< CMOS: firmware goes on at the address in 0040:0067

/// Sets the mask, the resume address and the reset code, and executes `reset`. Where it resumes, it writes
/// the mask to the debug exit.
MemoryMedium boot_diskette(uint8_t reset_code, const Bytes& reset) {
  constexpr size_t kResumeOperand = 11;
  Bytes code = {
      0xfa,                                      // cli
      0x31, 0xc0,                                // xor ax, ax
      0x8e, 0xd8,                                // mov ds, ax
      0x8e, 0xd0,                                // mov ss, ax
      0xc7, 0x06,       0x67, 0x04, 0x00, 0x7c,  // mov word [0x467], resumed
      0xa3, 0x69,       0x04,                    // mov [0x469], ax
      0xb0, kMark,                               // mov al, kMark
      0xe6, 0x21,                                // out 0x21, al
      0xb0, 0x8f,                                // mov al, 0x8f
      0xe6, 0x70,                                // out 0x70, al
      0xb0, reset_code,                          // mov al, reset_code
      0xe6, 0x71,                                // out 0x71, al
  };
  code.insert(code.end(), reset.begin(), reset.end());
  code.push_back(0xf4);  // hlt
  code[kResumeOperand] = static_cast<uint8_t>(code.size());
  const Bytes resumed = {
      0xe4, 0x21,  // in al, 0x21
      0xe6, 0xf4,  // out 0xf4, al
      0xf4,        // hlt
  };
  code.insert(code.end(), resumed.begin(), resumed.end());
  MemoryMedium diskette(1440 * 1024);
  std::copy(code.begin(), code.end(), diskette.bytes.begin());
  diskette.bytes[510] = 0x55;
  diskette.bytes[511] = 0xaa;
  return diskette;
}

struct End {
  MachineStop stop;
  uint8_t debug_exit;
};

End boot(uint8_t reset_code, const Bytes& reset) {
  MemoryMedium diskette = boot_diskette(reset_code, reset);
  MachineConfig config;
  config.clock = ClockKind::kVirtual;
  config.memory_mib = 16;
  config.debug_exit = true;
  MachineIo io;
  io.floppy[0] = std::make_unique<MemoryBackend>(diskette);
  auto machine = Machine::create(config, std::move(io));
  if (!machine) throw std::runtime_error(machine.error().message);
  int polls = 2000;
  const MachineStop stop =
      machine.value()->run([&polls] { return --polls > 0; }, [](VirtualNs, const sigset_t&) {});
  return {stop, machine.value()->debug_exit_value()};
}

const Bytes kPulse = {0xb0, 0xfe, 0xe6, 0x64};                               // 8042 command FE
const Bytes kOutputPort = {0xb0, 0xd1, 0xe6, 0x64, 0xb0, 0xde, 0xe6, 0x60};  // 8042 output port, bit 0 clear
const Bytes kFastReset = {0xb0, 0x03, 0xe6, 0x92};
const Bytes kSoftReset = {0xba, 0xf9, 0x0c, 0xb0, 0x04, 0xee};
const Bytes kHardReset = {0xba, 0xf9, 0x0c, 0xb0, 0x06, 0xee};

TEST(MachineReset, CpuResetsKeepTheBoardAndResume) {
  for (const Bytes& reset : {kPulse, kOutputPort, kFastReset, kSoftReset}) {
    const End end = boot(kResumeWithout, reset);
    EXPECT_EQ(end.stop, MachineStop::kDebugExit);
    EXPECT_EQ(end.debug_exit, kMark);
  }
}

TEST(MachineReset, WithNothingToResumeTheyAreReboots) {
  for (const Bytes& reset : {kPulse, kFastReset, kSoftReset}) {
    EXPECT_EQ(boot(0, reset).stop, MachineStop::kResetAsked);
  }
}

TEST(MachineReset, HardResetIsOfTheBoard) {
  EXPECT_EQ(boot(kResumeWithout, kHardReset).stop, MachineStop::kResetAsked);
}

TEST(MachineReset, InitMessageIsForTheCpuAlone) {
  constexpr size_t kStart = 0x7c00 + 28;  // behind boot_diskette()'s part
  constexpr size_t kGdtr = kStart + 39;
  static_assert(kGdtr + 8 < 0x7d00);
  const Bytes init = {
      0x0f,
      0x01,
      0x16,
      kGdtr & 0xff,
      kGdtr >> 8,  // lgdt [gdtr]
      0x0f,
      0x20,
      0xc0,  // mov eax, cr0
      0x0c,
      0x01,  // or al, 1
      0x0f,
      0x22,
      0xc0,  // mov cr0, eax
      0xbb,
      0x08,
      0x00,  // mov bx, 8
      0x8e,
      0xdb,  // mov ds, bx
      0x24,
      0xfe,  // and al, 0xfe
      0x0f,
      0x22,
      0xc0,  // mov cr0, eax: real mode, DS keeps its limit
      0x66,
      0xbb,
      0x00,
      0x03,
      0xe0,
      0xfe,  // mov ebx, 0xfee00300
      0x67,
      0x66,
      0xc7,
      0x03,
      0x00,
      0x45,
      0x00,
      0x00,  // mov dword [ebx], 0x4500: INIT to APIC 0
      0xeb,
      0x16,  // jmp behind the table
      0x0f,
      0x00,
      (kGdtr + 6) & 0xff,
      (kGdtr + 6) >> 8,
      0,
      0,  // gdtr
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      0,  // null
      0xff,
      0xff,
      0,
      0,
      0,
      0x93,
      0xcf,
      0,  // flat data
  };
  const End end = boot(kResumeWithout, init);
  EXPECT_EQ(end.stop, MachineStop::kDebugExit);
  EXPECT_EQ(end.debug_exit, kMark);
}

}  // namespace
}  // namespace vireo
