#include "devices/uart16550.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

namespace vireo {
namespace {

class FakeChar final : public CharBackend {
 public:
  void write(std::span<const uint8_t> bytes) override { written.append(bytes.begin(), bytes.end()); }
  bool read(uint8_t& byte) override {
    if (input.empty()) return false;
    byte = static_cast<uint8_t>(input.front());
    input.pop_front();
    return true;
  }
  void type(std::string_view text) {
    input.insert(input.end(), text.begin(), text.end());
    input_arrived();
  }

  std::string written;
  std::deque<char> input;
};

constexpr VirtualNs kFrame9600 = 1'041'666;

class Uart16550Test : public ::testing::Test {
 protected:
  Uart16550Test() {
    out(3, 0x03);  // 8n1 at 9600
    out(4, 0x0b);  // DTR, RTS, OUT2
    run(1'000'000'000);
    edges = 0;
  }
  void out(uint32_t port, uint8_t value) { uart.ports().write(port, 1, value); }
  uint8_t in(uint32_t port) { return static_cast<uint8_t>(uart.ports().read(port, 1)); }
  void run(VirtualNs duration) {
    const VirtualNs end = clock.now() + duration;
    while (scheduler.next_deadline() && *scheduler.next_deadline() <= end) {
      clock.set(std::max(clock.now(), *scheduler.next_deadline()));
      scheduler.run_due();
    }
    clock.set(end);
  }

  FakeClock clock;
  Scheduler scheduler{clock};
  FakeChar backend;
  unsigned edges = 0;
  IrqLine irq{[this](bool level) { edges += level; }};
  Uart16550 uart{"uart16550.test", scheduler, irq, backend};
};

TEST_F(Uart16550Test, TransmitsAtOnceAndRaisesAnEdgePerWrite) {
  EXPECT_EQ(in(5), 0x60);
  out(1, 0x02);
  EXPECT_EQ(edges, 1u) << "enabling with an empty transmitter interrupts";
  EXPECT_EQ(in(2), 0x02);
  EXPECT_FALSE(irq.level()) << "reading IIR takes the request back";
  out(0, 'h');
  out(0, 'i');
  EXPECT_EQ(backend.written, "hi");
  EXPECT_EQ(edges, 3u);
  EXPECT_EQ(in(5), 0x60);
}

TEST_F(Uart16550Test, ReenablingTransmitInterruptRaisesItAgain) {
  out(1, 0x02);
  EXPECT_EQ(in(2), 0x02);
  EXPECT_EQ(in(2), 0x01);
  out(1, 0x00);
  out(1, 0x02);
  EXPECT_EQ(in(2), 0x02);
}

TEST_F(Uart16550Test, WithoutOut2TheLineStaysLow) {
  out(4, 0x03);
  out(1, 0x02);
  EXPECT_FALSE(irq.level());
  out(4, 0x0b);
  EXPECT_TRUE(irq.level());
}

TEST_F(Uart16550Test, ReceivesPacedWithoutLoss) {
  out(1, 0x01);
  backend.type("abc");
  run(0);
  EXPECT_EQ(in(2), 0x04);
  EXPECT_EQ(in(5), 0x61);
  EXPECT_EQ(in(0), 'a');
  EXPECT_FALSE(irq.level());
  EXPECT_EQ(in(5), 0x60);
  run(kFrame9600 + 1);
  EXPECT_EQ(edges, 2u);
  EXPECT_EQ(in(0), 'b');
  run(10 * kFrame9600);
  EXPECT_EQ(in(0), 'c');
  EXPECT_EQ(in(5) & 0x02, 0) << "no overrun: bytes wait outside";
}

TEST_F(Uart16550Test, FifoTriggerAndTimeout) {
  out(2, 0x81);  // trigger at 8
  EXPECT_EQ(in(2), 0xc1);
  out(1, 0x01);
  backend.type("0123456789");
  run(7 * kFrame9600 + 10);
  EXPECT_EQ(in(2), 0xc4) << "trigger level reached";
  for (char c = '0'; c <= '7'; ++c) EXPECT_EQ(in(0), c);
  EXPECT_FALSE(irq.level());
  run(2 * kFrame9600 + 10);
  EXPECT_FALSE(irq.level());
  run(4 * kFrame9600);
  EXPECT_EQ(in(2), 0xcc) << "two bytes below the trigger time out";
  EXPECT_EQ(in(0), '8');
  EXPECT_FALSE(irq.level()) << "a read restarts the timeout";
  run(4 * kFrame9600);
  EXPECT_EQ(in(2), 0xcc);
  EXPECT_EQ(in(0), '9');
  EXPECT_EQ(in(2), 0xc1);
}

TEST_F(Uart16550Test, FifoHolds16AndTheRestWaits) {
  out(2, 0x01);
  backend.type("0123456789abcdefghij");
  run(100 * kFrame9600);
  EXPECT_EQ(backend.input.size(), 4u);
  std::string got;
  for (int i = 0; i < 20; ++i) {
    got.push_back(static_cast<char>(in(0)));
    run(2 * kFrame9600);
  }
  EXPECT_EQ(got, "0123456789abcdefghij");
}

TEST_F(Uart16550Test, ClearingTheReceiverFifo) {
  out(2, 0x01);
  backend.type("ab");
  run(3 * kFrame9600);
  out(2, 0x03);
  EXPECT_EQ(in(5), 0x60);
}

TEST_F(Uart16550Test, LoopbackDataAndModemLines) {
  out(4, 0x10);
  in(6);
  EXPECT_EQ(in(6), 0x00);
  out(4, 0x1f);
  EXPECT_EQ(in(6), 0xfb) << "all inputs on; deltas of CTS, DSR, DCD; RI's trailing edge has not come";
  EXPECT_EQ(in(6), 0xf0);
  out(4, 0x1b);
  EXPECT_EQ(in(6), 0xb4) << "RI ended";
  out(0, 0x5a);
  EXPECT_EQ(in(0), 0x5a);
  EXPECT_TRUE(backend.written.empty());
  out(0, 1);
  out(0, 2);
  EXPECT_EQ(in(5), 0x63) << "overrun without FIFO";
  EXPECT_EQ(in(5), 0x61) << "reading LSR clears it";
  EXPECT_EQ(in(0), 2);
}

TEST_F(Uart16550Test, BreakIsALineStatusInterrupt) {
  out(1, 0x05);
  uart.receive_break();
  EXPECT_EQ(in(2), 0x06);
  EXPECT_EQ(in(5), 0x71);
  EXPECT_EQ(in(2), 0x04);
  EXPECT_EQ(in(0), 0);
  EXPECT_EQ(in(2), 0x01);
}

TEST_F(Uart16550Test, ModemStatusInterrupt) {
  out(1, 0x08);
  uart.set_modem_inputs(0x30);
  EXPECT_EQ(in(2), 0x00);
  EXPECT_EQ(in(6), 0x38) << "DCD went away";
  EXPECT_EQ(in(2), 0x01);
}

TEST_F(Uart16550Test, DivisorAndScratch) {
  out(3, 0x83);
  out(0, 0x34);
  out(1, 0x12);
  EXPECT_EQ(in(0), 0x34);
  EXPECT_EQ(in(1), 0x12);
  out(3, 0x03);
  EXPECT_EQ(in(1), 0x00);
  out(7, 0xa5);
  EXPECT_EQ(in(7), 0xa5);
}

TEST_F(Uart16550Test, InterruptPriority) {
  out(1, 0x0f);
  uart.set_modem_inputs(0);
  backend.type("x");
  run(0);
  uart.receive_break();
  EXPECT_EQ(in(2), 0x06) << "overrun";
  in(5);
  EXPECT_EQ(in(2), 0x04);
  in(0);
  EXPECT_EQ(in(2), 0x02);
  EXPECT_EQ(in(2), 0x00);
  in(6);
  EXPECT_EQ(in(2), 0x01);
}

TEST_F(Uart16550Test, StateRoundTrip) {
  out(2, 0x81);
  out(1, 0x01);
  backend.type("ab");
  run(3 * kFrame9600);
  StateArchive saved;
  uart.state(saved);
  FakeChar other_backend;
  IrqLine other_irq;
  Uart16550 other{"uart16550.other", scheduler, other_irq, other_backend};
  StateArchive loading{saved.bytes()};
  other.state(loading);
  run(4 * kFrame9600);
  EXPECT_TRUE(other_irq.level()) << "the timeout runs on";
  EXPECT_EQ(other.ports().read(0, 1), uint64_t{'a'});
  EXPECT_EQ(other.ports().read(0, 1), uint64_t{'b'});
}

}  // namespace
}  // namespace vireo
