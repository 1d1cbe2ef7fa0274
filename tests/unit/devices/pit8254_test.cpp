#include "devices/pit8254.h"

#include <gtest/gtest.h>

#include <vector>

#include "devices/system_port_b.h"

namespace vireo {
namespace {

class Pit8254Test : public ::testing::Test {
 protected:
  void out(uint32_t port, uint8_t value) { pit.ports().write(port, 1, value); }
  uint8_t in(uint32_t port) { return static_cast<uint8_t>(pit.ports().read(port, 1)); }
  void write_count(unsigned n, uint16_t count) {
    out(n, static_cast<uint8_t>(count));
    out(n, static_cast<uint8_t>(count >> 8));
  }
  uint16_t latched(unsigned n) {
    out(3, static_cast<uint8_t>(n << 6));
    const uint8_t low = in(n);
    return static_cast<uint16_t>(low | in(n) << 8);
  }
  uint8_t status(unsigned n) {
    out(3, static_cast<uint8_t>(0xe0 | 2u << n));
    return in(n);
  }
  /// To the first moment of an input clock tick, timers served.
  void to_tick(uint64_t tick) {
    const auto ns = static_cast<VirtualNs>(
        (static_cast<unsigned __int128>(tick) * kNsPerSecond + Pit8254::kFrequencyHz - 1) /
        Pit8254::kFrequencyHz);
    while (scheduler.next_deadline() && *scheduler.next_deadline() <= ns) {
      clock.set(*scheduler.next_deadline());
      scheduler.run_due();
    }
    clock.set(ns);
  }

  FakeClock clock;
  Scheduler scheduler{clock};
  std::vector<VirtualNs> edges;
  IrqLine irq0{[this](bool level) {
    if (level) edges.push_back(clock.now());
  }};
  Pit8254 pit{scheduler, irq0};
};

TEST_F(Pit8254Test, Mode2GivesAnEdgePerPeriodAtExactTimes) {
  to_tick(100);
  out(3, 0x34);
  write_count(0, 1193);
  edges.clear();
  const VirtualNs start = clock.now();
  to_tick(101 + 1000 * 1193);
  ASSERT_EQ(edges.size(), 1000u);
  EXPECT_NEAR(static_cast<double>(edges.back() - start), 1000.0 * 1193 / 1193182 * 1e9, 900.0);
  EXPECT_EQ(edges.back(), clock.now()) << "the load takes one clock, then 1000 periods";
}

TEST_F(Pit8254Test, Mode2CountsDownToOne) {
  out(3, 0x34);
  write_count(0, 5);
  to_tick(1);
  const uint16_t expected[] = {5, 4, 3, 2, 1, 5, 4};
  for (unsigned i = 0; i < 7; ++i) {
    to_tick(1 + i);
    EXPECT_EQ(latched(0), expected[i]) << i;
    EXPECT_EQ(status(0) >> 7, expected[i] != 1) << "output low while the count is 1";
  }
}

TEST_F(Pit8254Test, Mode2NewCountWaitsForTheEndOfThePeriod) {
  out(3, 0x34);
  write_count(0, 100);
  to_tick(1 + 50);
  edges.clear();
  write_count(0, 10);
  EXPECT_EQ(status(0) & 0x40, 0x40) << "null count: not loaded yet";
  to_tick(1 + 99);
  EXPECT_TRUE(edges.empty());
  to_tick(1 + 100);
  EXPECT_EQ(edges.size(), 1u);
  EXPECT_EQ(status(0) & 0x40, 0);
  to_tick(1 + 130);
  EXPECT_EQ(edges.size(), 4u);
}

TEST_F(Pit8254Test, Mode3EvenAndOddHalves) {
  for (const unsigned count : {6u, 5u}) {
    const uint64_t start = count * 1000;
    to_tick(start);
    out(3, 0x36);
    write_count(0, static_cast<uint16_t>(count));
    unsigned high = 0;
    for (unsigned i = 0; i < count; ++i) {
      to_tick(start + 1 + i);
      high += status(0) >> 7;
      EXPECT_EQ(latched(0) % 2, 0) << "counts by two";
    }
    EXPECT_EQ(high, (count + 1) / 2);
  }
}

TEST_F(Pit8254Test, Mode3CountsTwiceThroughPerPeriod) {
  out(3, 0x36);
  write_count(0, 0);
  to_tick(1);
  EXPECT_EQ(latched(0), 0);
  to_tick(2);
  EXPECT_EQ(latched(0), 0xfffe);
  to_tick(1 + 32767);
  EXPECT_EQ(latched(0), 2);
  EXPECT_TRUE(irq0.level());
  to_tick(1 + 32768);
  EXPECT_EQ(latched(0), 0);
  EXPECT_FALSE(irq0.level());
  edges.clear();
  to_tick(1 + 65536);
  EXPECT_EQ(edges.size(), 1u);
}

TEST_F(Pit8254Test, Mode3NewCountTakesEffectAtTheHalf) {
  out(3, 0x36);
  write_count(0, 100);
  to_tick(1 + 10);
  write_count(0, 20);
  edges.clear();
  to_tick(1 + 49);
  EXPECT_TRUE(irq0.level());
  to_tick(1 + 50);
  EXPECT_FALSE(irq0.level());
  to_tick(1 + 59);
  EXPECT_FALSE(irq0.level());
  to_tick(1 + 60);
  EXPECT_TRUE(irq0.level());
  EXPECT_EQ(edges.size(), 1u);
}

TEST_F(Pit8254Test, Mode0RisesOnceAndCountsOn) {
  out(3, 0x30);
  EXPECT_FALSE(irq0.level());
  write_count(0, 1000);
  to_tick(1000);
  EXPECT_FALSE(irq0.level());
  EXPECT_EQ(latched(0), 1);
  to_tick(1001);
  EXPECT_TRUE(irq0.level());
  to_tick(1003);
  EXPECT_EQ(latched(0), 0xfffe);
  to_tick(200000);
  EXPECT_EQ(edges.size(), 1u);
  out(0, 5);
  EXPECT_FALSE(irq0.level()) << "the first byte of a new count takes the output low";
}

TEST_F(Pit8254Test, Mode4StrobesOneClockAfterTheCount) {
  out(3, 0x38);
  edges.clear();
  write_count(0, 10);
  to_tick(11);
  EXPECT_EQ(status(0) & 0x80, 0);
  EXPECT_TRUE(edges.empty());
  to_tick(12);
  EXPECT_EQ(status(0) & 0x80, 0x80);
  EXPECT_EQ(edges.size(), 1u);
}

TEST_F(Pit8254Test, Mode1And5AreStartedByTheGate) {
  out(3, 0xb2);
  write_count(2, 10);
  to_tick(50);
  EXPECT_TRUE(pit.output2());
  pit.set_gate2(true);
  to_tick(51);
  EXPECT_FALSE(pit.output2());
  to_tick(60);
  EXPECT_FALSE(pit.output2());
  to_tick(61);
  EXPECT_TRUE(pit.output2());

  out(3, 0xba);
  write_count(2, 10);
  pit.set_gate2(false);
  to_tick(100);
  pit.set_gate2(true);
  to_tick(110);
  EXPECT_TRUE(pit.output2());
  to_tick(111);
  EXPECT_FALSE(pit.output2());
  to_tick(112);
  EXPECT_TRUE(pit.output2());
}

TEST_F(Pit8254Test, GateStopsMode0AndRestartsMode3) {
  pit.set_gate2(true);
  out(3, 0xb0);
  write_count(2, 100);
  to_tick(1 + 40);
  EXPECT_EQ(latched(2), 60);
  pit.set_gate2(false);
  to_tick(1 + 90);
  EXPECT_EQ(latched(2), 60);
  pit.set_gate2(true);
  to_tick(1 + 100);
  EXPECT_EQ(latched(2), 50);

  out(3, 0xb6);
  write_count(2, 100);
  to_tick(200);
  pit.set_gate2(false);
  EXPECT_TRUE(pit.output2()) << "gate low forces the output of mode 3 high";
  pit.set_gate2(true);
  to_tick(201);
  EXPECT_EQ(latched(2), 100);
}

TEST_F(Pit8254Test, BcdCounts) {
  out(3, 0x31);
  write_count(0, 0x1000);
  to_tick(2);
  EXPECT_EQ(latched(0), 0x0999);
  to_tick(1001);
  EXPECT_TRUE(irq0.level());
  EXPECT_EQ(latched(0), 0);
  to_tick(1002);
  EXPECT_EQ(latched(0), 0x9999);
}

TEST_F(Pit8254Test, ReadBackLatchesStatusAndCountOfSeveralCounters) {
  pit.set_gate2(true);
  out(3, 0x34);
  write_count(0, 1000);
  out(3, 0x94);  // counter 2, low byte only, mode 2
  out(2, 50);
  to_tick(11);
  out(3, 0xca);  // both, of counters 0 and 2
  to_tick(20);
  EXPECT_EQ(in(0), 0xb4) << "status first: output high, loaded, both bytes, mode 2";
  EXPECT_EQ(in(0) | in(0) << 8, 990);
  EXPECT_EQ(in(2), 0x94);
  EXPECT_EQ(in(2), 40);
}

TEST_F(Pit8254Test, ASecondLatchDoesNotReplaceTheFirst) {
  out(3, 0x34);
  write_count(0, 1000);
  to_tick(11);
  out(3, 0x00);
  to_tick(100);
  out(3, 0x00);
  EXPECT_EQ(in(0) | in(0) << 8, 990);
}

TEST_F(Pit8254Test, WideAccessIsBytes) {
  pit.ports().write(0, 2, 0);
  out(3, 0x54);
  pit.ports().write(0, 4, 0x54'00'00'07);  // count 7, then the control word again
  EXPECT_EQ(status(0) & 0x40, 0x40);
}

TEST_F(Pit8254Test, LateTimerStillGivesAnEdge) {
  out(3, 0x36);
  write_count(0, 1000);
  edges.clear();
  clock.set(700'000 * 7);  // several periods at once, in a low half
  scheduler.run_due();
  EXPECT_EQ(edges.size(), 1u);
  EXPECT_GT(*scheduler.next_deadline(), clock.now());
}

TEST_F(Pit8254Test, StateRoundTrip) {
  out(3, 0x34);
  write_count(0, 1000);
  to_tick(500);
  StateArchive saved;
  pit.state(saved);
  unsigned other_edges = 0;
  IrqLine other_irq{[&](bool level) { other_edges += level; }};
  Pit8254 other{scheduler, other_irq};
  StateArchive loading{saved.bytes()};
  other.state(loading);
  edges.clear();
  to_tick(1 + 5000);
  EXPECT_EQ(edges.size(), 5u);
  EXPECT_EQ(other_edges, 5u);
}

class SystemPortBTest : public Pit8254Test {
 protected:
  uint8_t in61() { return static_cast<uint8_t>(port_b.port().read(0, 1)); }
  void out61(uint8_t value) { port_b.port().write(0, 1, value); }

  unsigned nmis = 0;
  IrqLine nmi{[this](bool level) { nmis += level; }};
  SystemPortB port_b{scheduler, pit, nmi};
};

TEST_F(SystemPortBTest, CalibrationByCounter2) {
  // Mode 0 and poll bit 5, as every kernel's TSC calibration does.
  out61(0x01);
  out(3, 0xb0);
  write_count(2, 59659);
  to_tick(59659);
  EXPECT_EQ(in61() & 0x20, 0);
  to_tick(59660);
  EXPECT_EQ(in61() & 0x20, 0x20);
  EXPECT_EQ(in61() & 0x0f, 0x01);
}

TEST_F(SystemPortBTest, RefreshBitTogglesEvery18Clocks) {
  unsigned toggles = 0;
  uint8_t last = in61() & 0x10;
  for (uint64_t tick = 1; tick <= 18 * 66; ++tick) {
    to_tick(tick);
    const uint8_t now = in61() & 0x10;
    toggles += now != last;
    last = now;
  }
  EXPECT_EQ(toggles, 66u);
}

TEST_F(SystemPortBTest, NmiSourcesLatchUntilDisabled) {
  port_b.assert_iochk();
  EXPECT_EQ(nmis, 1u);
  EXPECT_EQ(in61() & 0xc0, 0x40);
  out61(0x08);
  EXPECT_EQ(in61() & 0xc0, 0);
  port_b.assert_iochk();
  EXPECT_EQ(nmis, 1u);
  port_b.set_nmi_enabled(false);
  port_b.assert_serr();
  EXPECT_EQ(nmis, 1u);
  EXPECT_EQ(in61() & 0xc0, 0x80);
  port_b.set_nmi_enabled(true);
  EXPECT_EQ(nmis, 2u);
}

}  // namespace
}  // namespace vireo
