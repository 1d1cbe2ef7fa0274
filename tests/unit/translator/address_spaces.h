// A CPU with several address spaces, for the policies: a kernel in global pages and a program, at the same
// addresses in all of them.
#pragma once

#include <memory>

#include "softmmu/soft_mmu.h"

namespace vireo::translator {

inline constexpr uint32_t kP = 1, kW = 2, kU = 4, kG = 0x100;
inline constexpr uint64_t kKernel = 0x100000, kProgram = 0x200000;  // linear and physical

struct AddressSpaces {
  static constexpr uint64_t kRam = uint64_t{8} << 20;
  static constexpr unsigned kSpaces = Mmu::kSpaces + 4;
  static constexpr uint64_t kDirectories = 0x10000, kTable = 0x1000;

  AddressSpaces() {
    reset_cpu(cpu, 0);
    memory->map_ram({0}, kRam, 0, "ram");
    mmu = std::make_unique<SoftMmu>(cpu, *memory);
    for (unsigned space = 0; space < kSpaces; ++space)
      memory->write_value<uint32_t>({kDirectories + space * kPageSize}, kTable | kP | kW | kU);
    set_entries(kKernel, 128, kP | kW | kG);
    set_entries(kProgram, 512, kP | kW | kU);
    cpu.cr3 = kDirectories;
    cpu.cr4 = cr4::kPge;
    cpu.cr0 |= cr0::kPe | cr0::kPg;
    mmu->control_registers_changed();
  }
  void set_entries(uint64_t linear, unsigned pages, uint32_t bits) {
    for (uint64_t at = linear; at < linear + pages * kPageSize; at += kPageSize)
      memory->write_value<uint32_t>({kTable + at / kPageSize * 4}, static_cast<uint32_t>(at) | bits);
  }
  void load_space(unsigned space) {
    cpu.cr3 = kDirectories + space * kPageSize;
    mmu->cr3_loaded();
  }

  CpuState cpu;
  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kRam).take();
  std::unique_ptr<SoftMmu> mmu;
};

}  // namespace vireo::translator
