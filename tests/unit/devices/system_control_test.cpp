#include "devices/system_control.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace vireo {
namespace {

TEST(SystemPortATest, A20AndResetOnRisingBit) {
  std::vector<bool> a20;
  unsigned resets = 0;
  SystemPortA port([&](bool open) { a20.push_back(open); }, [&] { ++resets; });
  EXPECT_EQ(port.port().read(0, 1), 0x02u);
  port.port().write(0, 1, 0x00);
  port.port().write(0, 1, 0x02);
  EXPECT_EQ(a20, (std::vector<bool>{false, true}));
  port.port().write(0, 1, 0x03);
  port.port().write(0, 1, 0x03);
  EXPECT_EQ(resets, 1u);
}

TEST(FpuErrorLatchTest, PortF0GivesTheInterruptBack) {
  IrqLine irq13;
  FpuErrorLatch latch(irq13);
  latch.set_ferr(true);
  EXPECT_TRUE(irq13.level());
  latch.ports().write(0, 1, 0);
  EXPECT_FALSE(irq13.level());
  latch.set_ferr(true);
  EXPECT_FALSE(irq13.level()) << "the same error";
  latch.set_ferr(false);
  latch.set_ferr(true);
  EXPECT_TRUE(irq13.level());
}

TEST(FpuErrorLatchTest, StateRoundTrip) {
  IrqLine irq13, other_irq13;
  FpuErrorLatch latch(irq13), other(other_irq13);
  latch.set_ferr(true);
  StateArchive saved;
  latch.state(saved);
  StateArchive loading{saved.bytes()};
  other.state(loading);
  EXPECT_TRUE(other_irq13.level());
}

class Collector final : public CharBackend {
 public:
  void write(std::span<const uint8_t> bytes) override { text.append(bytes.begin(), bytes.end()); }
  bool read(uint8_t&) override { return false; }
  std::string text;
};

TEST(DebugConsoleTest, AnnouncesItselfAndPrints) {
  Collector collector;
  DebugConsole console(collector);
  EXPECT_EQ(console.read(0, 1), 0xe9u);
  for (const char c : std::string("hi\n")) console.write(0, 1, static_cast<uint8_t>(c));
  EXPECT_EQ(collector.text, "hi\n");
}

TEST(DebugExitTest, GivesTheValue) {
  std::vector<uint32_t> values;
  DebugExit debug_exit([&](uint32_t value) { values.push_back(value); });
  debug_exit.write(0, 4, 0x1234);
  EXPECT_EQ(values, std::vector<uint32_t>{0x1234});
}

}  // namespace
}  // namespace vireo
