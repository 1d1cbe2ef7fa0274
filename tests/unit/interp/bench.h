// A CPU on a bench: memory, MMU and interpreter without a board. Programs are bytes put together by hand.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>

#include "core/interp/interp.h"
#include "core/isa/cpuid.h"
#include "core/isa/msr.h"
#include "softmmu/soft_mmu.h"

namespace vireo::interp {

class FakeInterrupts final : public InterruptController {
 public:
  bool interrupt_pending() const override { return vector.has_value(); }
  uint8_t acknowledge() override {
    const uint8_t v = *vector;
    vector.reset();
    return v;
  }
  std::optional<uint8_t> vector;
};

/// Remembers the last write to any of its ports; reads give what was written last, plus one for each earlier
/// read.
class EchoPorts final : public IoRegion {
 public:
  uint64_t read(uint32_t, unsigned) override {
    if (on_read) on_read();
    return last_value + reads++;
  }
  void write(uint32_t offset, unsigned size, uint64_t value) override {
    last_offset = offset;
    last_size = size;
    last_value = value;
    ++writes;
    if (on_write) on_write();
  }
  uint32_t last_offset = 0;
  unsigned last_size = 0;
  uint64_t last_value = 0;
  unsigned reads = 0, writes = 0;
  std::function<void()> on_read, on_write;
};

/// Descriptor fields as in the SDM; `access` is bits 40 to 47, `flags` bits 52 to 55.
constexpr uint64_t descriptor(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags) {
  return (uint64_t{limit} & 0xffff) | (uint64_t{base} & 0xffffff) << 16 | uint64_t{access} << 40 |
         (uint64_t{limit} >> 16 & 15) << 48 | uint64_t{flags} << 52 | uint64_t{base >> 24} << 56;
}
constexpr uint64_t gate(uint16_t selector, uint32_t offset, uint8_t access, uint8_t parameters = 0) {
  return (uint64_t{offset} & 0xffff) | uint64_t{selector} << 16 | uint64_t{parameters} << 32 |
         uint64_t{access} << 40 | (uint64_t{offset} >> 16) << 48;
}

class CpuBench : public testing::Test {
 protected:
  static constexpr uint64_t kRamBytes = 4 << 20;
  static constexpr uint64_t kCode = 0x10000;

  explicit CpuBench(std::string_view model_name = "pentium3")
      : memory(std::move(GuestMemory::create(kRamBytes).value())),
        model(find_cpu_model(model_name).value()),
        mmu(cpu, *memory),
        context{cpu, *memory, mmu, ports, interrupts, clock, attention, model, {}, {}} {
    memory->map_ram({0}, kRamBytes, 0, "ram");
    ports.map(0x80, 0x10, echo, "echo");
    reset_cpu(cpu, model.signature);
    reset_msrs(cpu, model);
    cpu.idtr = {.base = 0, .limit = 0x3ff};
    start(kCode);
    cpu.reg(Gpr::kRsp) = 0x8000;
    interp = std::make_unique<Interp>(context);
  }

  void put(uint64_t address, std::initializer_list<uint8_t> bytes) {
    memory->write({address}, {bytes.begin(), bytes.size()});
  }
  template <class T>
  void poke(uint64_t address, T value) {
    memory->write_value(Gpa{address}, value);
  }
  template <class T>
  T peek(uint64_t address) {
    return memory->read_value<T>({address});
  }
  uint32_t reg(Gpr r) { return static_cast<uint32_t>(cpu.reg(r)); }
  uint16_t selector(SegReg s) { return cpu.segment(s).selector; }

  /// Real mode: CS:IP = address/16:0.
  void start(uint64_t address) {
    Segment& cs = cpu.segment(SegReg::kCs);
    cs.selector = static_cast<uint16_t>(address >> 4);
    cs.base = address;
    cpu.rip = 0;
  }
  /// A handler of the real-mode vector table at 0:offset.
  void set_vector(uint8_t vector, uint16_t offset) { poke<uint32_t>(vector * 4u, offset); }

  /// Runs until HLT; fails the test if something else ends it within `limit` instructions.
  void run_to_halt(uint64_t limit = 10000) {
    ASSERT_EQ(interp->run({cpu.retired + limit}), ExitReason::kHalt)
        << "at " << std::hex << selector(SegReg::kCs) << ":" << cpu.rip;
  }

  CpuState cpu;
  std::unique_ptr<GuestMemory> memory;
  CpuModel model;
  SoftMmu mmu;
  IoBus ports;
  FakeInterrupts interrupts;
  FakeClock clock;
  Attention attention;
  EchoPorts echo;
  CpuContext context;
  std::unique_ptr<Interp> interp;
};

}  // namespace vireo::interp
