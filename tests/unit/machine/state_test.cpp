// Every device of the board in one saved state: what is loaded is what was saved.
#include <gtest/gtest.h>

#include <stdexcept>

#include "core/machine/machine.h"
#include "core/state_archive.h"

namespace vireo {
namespace {

std::unique_ptr<Machine> make_machine() {
  MachineConfig config;
  config.clock = ClockKind::kVirtual;
  config.memory_mib = 16;
  auto machine = Machine::create(config, MachineIo{});
  if (!machine) throw std::runtime_error(machine.error().message);
  return machine.take();
}

/// Runs the firmware, which programs every chip, for so many polls of 10 ms.
void run_firmware(Machine& machine, int polls) {
  machine.run([&polls] { return --polls > 0; }, [](VirtualNs, const sigset_t&) {});
}

TEST(MachineState, LoadedStateSavesTheSame) {
  auto first = make_machine();
  run_firmware(*first, 30);
  const std::vector<uint8_t> saved = first->save_state();
  auto second = make_machine();
  ASSERT_NE(second->save_state(), saved);
  second->load_state(saved);
  EXPECT_EQ(second->save_state(), saved);
  EXPECT_EQ(second->now(), first->now());
}

TEST(MachineState, DamagedStateIsRefused) {
  auto machine = make_machine();
  std::vector<uint8_t> saved = machine->save_state();
  saved.resize(saved.size() / 2);
  EXPECT_THROW(machine->load_state(saved), StateError);
}

TEST(MachineState, HashCoversMemory) {
  auto first = make_machine();
  auto second = make_machine();
  EXPECT_EQ(first->state_hash(), second->state_hash());
  run_firmware(*first, 2);
  EXPECT_NE(first->state_hash(), second->state_hash());
}

}  // namespace
}  // namespace vireo
