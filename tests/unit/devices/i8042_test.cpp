#include "devices/i8042.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "devices/ps2_keyboard.h"
#include "devices/ps2_mouse.h"
#include "devices/ps2_scan_codes.h"

namespace vireo {
namespace {

using Bytes = std::vector<uint8_t>;
constexpr VirtualNs kMs = 1'000'000;
constexpr HidKey kA = 0x04, kUp = 0x52, kShift = 0xe1, kAlt = 0xe2, kPrintScreen = 0x46, kPause = 0x48,
                 kF7 = 0x40;

class I8042Test : public ::testing::Test {
 protected:
  void command(uint8_t value) { controller.command_port().write(0, 1, value); }
  void data(uint8_t value) { controller.data_port().write(0, 1, value); }
  uint8_t status() { return static_cast<uint8_t>(controller.command_port().read(0, 1)); }
  uint8_t data() { return static_cast<uint8_t>(controller.data_port().read(0, 1)); }
  void to_mouse(uint8_t value) {
    command(0xd4);
    data(value);
  }
  void run(VirtualNs duration) {
    const VirtualNs end = clock.now() + duration;
    while (scheduler.next_deadline() && *scheduler.next_deadline() <= end) {
      clock.set(*scheduler.next_deadline());
      scheduler.run_due();
    }
    clock.set(end);
  }
  /// Reads like a driver that polls, until nothing comes for 20 ms.
  Bytes drain() {
    Bytes bytes;
    for (VirtualNs idle = 0; idle < 20 * kMs; idle += kMs / 10) {
      if (status() & 1) {
        bytes.push_back(data());
        idle = 0;
      }
      run(kMs / 10);
    }
    return bytes;
  }
  Bytes keyboard_says(std::initializer_list<uint8_t> written) {
    Bytes all;
    for (const uint8_t byte : written) {
      data(byte);
      for (const uint8_t answer : drain()) all.push_back(answer);
    }
    return all;
  }
  Bytes mouse_says(std::initializer_list<uint8_t> written) {
    Bytes all;
    for (const uint8_t byte : written) {
      to_mouse(byte);
      for (const uint8_t answer : drain()) all.push_back(answer);
    }
    return all;
  }
  void set_mode(uint8_t mode) {
    command(0x60);
    data(mode);
  }
  Bytes press(HidKey key) {
    keyboard.key(key, true);
    Bytes bytes = drain();
    keyboard.key(key, false);
    for (const uint8_t byte : drain()) bytes.push_back(byte);
    return bytes;
  }

  FakeClock clock;
  Scheduler scheduler{clock};
  unsigned irq1_edges = 0, irq12_edges = 0, resets = 0;
  std::vector<bool> a20;
  IrqLine irq1{[this](bool level) { irq1_edges += level; }};
  IrqLine irq12{[this](bool level) { irq12_edges += level; }};
  Ps2Keyboard keyboard{scheduler};
  Ps2Mouse mouse{scheduler};
  I8042 controller{
      scheduler,           irq1, irq12, keyboard, mouse, [this](bool open) { a20.push_back(open); },
      [this] { ++resets; }};
};

TEST_F(I8042Test, SelfTestsAndCommandByte) {
  EXPECT_EQ(status(), 0x18);
  command(0xaa);
  EXPECT_EQ(status() & 0x05, 0x05);
  EXPECT_EQ(data(), 0x55);
  command(0xab);
  EXPECT_EQ(data(), 0x00);
  command(0xa9);
  EXPECT_EQ(data(), 0x00);
  set_mode(0x45);
  command(0x20);
  EXPECT_EQ(data(), 0x45);
  EXPECT_EQ(status() & 0x01, 0);
  command(0xa7);
  command(0xad);
  command(0x20);
  EXPECT_EQ(data(), 0x75);
  command(0xa8);
  command(0xae);
  command(0x20);
  EXPECT_EQ(data(), 0x45);
}

TEST_F(I8042Test, A20AndReset) {
  command(0xd0);
  EXPECT_EQ(data() & 0x03, 0x03);
  command(0xd1);
  data(0xdd);
  command(0xd1);
  data(0xdf);
  command(0xdd);
  command(0xdf);
  EXPECT_EQ(a20, (std::vector<bool>{false, true, false, true}));
  EXPECT_EQ(resets, 0u);
  command(0xff);
  EXPECT_EQ(resets, 0u);
  command(0xfe);
  EXPECT_EQ(resets, 1u);
  command(0xd1);
  data(0x02);
  EXPECT_EQ(resets, 2u);
}

TEST_F(I8042Test, LoopbackCommandsShowTheirSource) {
  set_mode(0x03);
  command(0xd3);
  data(0x5a);
  EXPECT_EQ(status() & 0x21, 0x21);
  EXPECT_EQ(irq12_edges, 1u);
  EXPECT_EQ(data(), 0x5a);
  EXPECT_FALSE(irq12.level());
  command(0xd2);
  data(0xa5);
  EXPECT_EQ(status() & 0x21, 0x01);
  EXPECT_EQ(irq1_edges, 1u);
  EXPECT_EQ(data(), 0xa5);
}

TEST_F(I8042Test, AnswersWaitForAFullBuffer) {
  command(0xd2);
  data(0x11);
  command(0x20);
  EXPECT_EQ(data(), 0x11);
  run(kMs);
  EXPECT_EQ(status() & 1, 1);
  EXPECT_EQ(data(), 0x03);
}

TEST_F(I8042Test, TranslatedKeysComeOneInterruptPerByte) {
  set_mode(0x41);
  irq1_edges = 0;
  keyboard.key(kUp, true);
  keyboard.key(kUp, false);
  EXPECT_EQ(status() & 1, 0) << "a byte takes its time on the wire";
  EXPECT_EQ(drain(), (Bytes{0xe0, 0x48, 0xe0, 0xc8}));
  EXPECT_EQ(irq1_edges, 4u);
}

TEST_F(I8042Test, UntranslatedIsSet2) {
  set_mode(0x01);
  EXPECT_EQ(press(kA), (Bytes{0x1c, 0xf0, 0x1c}));
}

TEST_F(I8042Test, DisabledInterfaceHoldsTheKeys) {
  set_mode(0x51);
  keyboard.key(kA, true);
  EXPECT_EQ(drain(), Bytes{});
  command(0xae);
  EXPECT_EQ(drain(), Bytes{0x1e});
}

TEST_F(I8042Test, KeyboardCommands) {
  set_mode(0x01);
  EXPECT_EQ(keyboard_says({0xff}), (Bytes{0xfa, 0xaa}));
  EXPECT_EQ(keyboard_says({0xf2}), (Bytes{0xfa, 0xab, 0x83}));
  EXPECT_EQ(keyboard_says({0xee}), (Bytes{0xee}));
  EXPECT_EQ(keyboard_says({0xed, 0x07}), (Bytes{0xfa, 0xfa}));
  EXPECT_EQ(keyboard.leds(), 7);
  EXPECT_EQ(keyboard_says({0xf3, 0x00}), (Bytes{0xfa, 0xfa}));
  EXPECT_EQ(keyboard_says({0xf0, 0x00}), (Bytes{0xfa, 0xfa, 0x02}));
  EXPECT_EQ(keyboard_says({0xef}), (Bytes{0xfe}));
  EXPECT_EQ(keyboard_says({0xfe}), (Bytes{0xfe}));
  EXPECT_EQ(keyboard_says({0xed, 0xf4}), (Bytes{0xfa, 0xfa})) << "a command ends the wait for a parameter";
  EXPECT_EQ(keyboard_says({0xf5}), (Bytes{0xfa}));
  EXPECT_EQ(press(kA), Bytes{});
  EXPECT_EQ(keyboard_says({0xf4}), (Bytes{0xfa}));
  EXPECT_EQ(press(kA), (Bytes{0x1c, 0xf0, 0x1c}));
}

TEST_F(I8042Test, ScanSets1And3) {
  set_mode(0x01);
  keyboard_says({0xf0, 0x01});
  EXPECT_EQ(press(kUp), (Bytes{0xe0, 0x48, 0xe0, 0xc8}));
  EXPECT_EQ(press(kF7), (Bytes{0x41, 0xc1}));
  keyboard_says({0xf0, 0x03});
  EXPECT_EQ(press(kUp), (Bytes{0x63})) << "typematic only";
  EXPECT_EQ(press(kShift), (Bytes{0x12, 0xf0, 0x12}));
  EXPECT_EQ(keyboard_says({0xfc, 0x63, 0xf4}), (Bytes{0xfa, 0xfa, 0xfa}));
  EXPECT_EQ(press(kUp), (Bytes{0x63, 0xf0, 0x63}));
}

TEST_F(I8042Test, PrintScreenAndPause) {
  set_mode(0x01);
  EXPECT_EQ(press(kPrintScreen), (Bytes{0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12}));
  EXPECT_EQ(press(kPause), (Bytes{0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}));
  keyboard.key(kAlt, true);
  drain();
  EXPECT_EQ(press(kPrintScreen), (Bytes{0x84, 0xf0, 0x84}));
  set_mode(0x41);
  EXPECT_EQ(press(kPrintScreen), (Bytes{0x54, 0xd4}));
}

TEST_F(I8042Test, TypematicRepeatsAfterTheDelay) {
  set_mode(0x41);
  keyboard_says({0xf3, 0x00});  // 250 ms, 30 per second
  keyboard.key(kA, true);
  EXPECT_EQ(drain(), Bytes{0x1e});
  unsigned count = 0;
  for (int i = 0; i < 1000; ++i) {
    run(kMs);
    if (status() & 1) {
      EXPECT_EQ(data(), 0x1e);
      ++count;
    }
  }
  EXPECT_NEAR(count, 23, 1);
  keyboard.key(kA, false);
  drain();
  run(1000 * kMs);
  EXPECT_EQ(drain(), Bytes{});
}

TEST_F(I8042Test, KeyboardBufferOverrun) {
  set_mode(0x11);
  for (HidKey key = 0x04; key < 0x04 + 17; ++key) {
    EXPECT_EQ(keyboard.ready(), key < 0x04 + 9);
    keyboard.key(key, true);
  }
  command(0xae);
  const Bytes bytes = drain();
  ASSERT_EQ(bytes.size(), 17u);
  EXPECT_EQ(bytes[15], 0x4d);
  EXPECT_EQ(bytes[16], 0x00);
}

TEST_F(I8042Test, AnswersThatNobodyReadsAreLost) {
  set_mode(0x00);
  for (int i = 0; i < 100; ++i) command(0xaa);
  EXPECT_EQ(drain(), Bytes(17, 0x55));  // the output buffer and 16 behind it
  command(0xab);
  EXPECT_EQ(drain(), Bytes{0x00});

  for (int i = 0; i < 100; ++i) to_mouse(0xf2);
  Bytes identities;
  for (int i = 0; i < 8; ++i) identities.insert(identities.end(), {0xfa, 0x00});
  EXPECT_EQ(drain(), identities);
  EXPECT_EQ(mouse_says({0xf2}), (Bytes{0xfa, 0x00}));

  for (int i = 0; i < 100; ++i) data(0xee);
  Bytes echoes(16, 0xee);
  echoes.push_back(0x00);  // overrun
  EXPECT_EQ(drain(), echoes);
  EXPECT_EQ(keyboard_says({0xee}), Bytes{0xee});
}

TEST_F(I8042Test, AnswersOvertakeKeys) {
  set_mode(0x01);
  keyboard.key(0x05, true);
  data(0xf3);
  EXPECT_EQ(drain(), (Bytes{0xfa, 0x32}));
}

TEST_F(I8042Test, TranslationIsInjectiveOnTheKeysInUse) {
  std::vector<int> seen(512, -1);
  for (unsigned key = 0; key < 256; ++key) {
    const ScanCodes codes = scan_codes(static_cast<HidKey>(key));
    // The non-US # is where \ is, and Pause has a sequence of its own.
    if (codes.set2 == 0 || key == 0x32 || key == kPause) continue;
    const unsigned slot = set2_to_set1(codes.set2) + (codes.extended ? 256 : 0);
    EXPECT_EQ(seen[slot], -1) << "keys " << key << " and " << seen[slot];
    seen[slot] = static_cast<int>(key);
  }
}

TEST_F(I8042Test, MouseDetection) {
  set_mode(0x03);
  EXPECT_EQ(mouse_says({0xff}), (Bytes{0xfa, 0xaa, 0x00}));
  EXPECT_EQ(irq12_edges, 3u);
  EXPECT_EQ(mouse_says({0xf2}), (Bytes{0xfa, 0x00}));
  mouse_says({0xf3, 200, 0xf3, 100, 0xf3, 80});
  EXPECT_EQ(mouse_says({0xf2}), (Bytes{0xfa, 0x03}));
  mouse_says({0xf3, 200, 0xf3, 200, 0xf3, 80});
  EXPECT_EQ(mouse_says({0xf2}), (Bytes{0xfa, 0x04}));
  mouse_says({0xe8, 3, 0xe7, 0xf4});
  EXPECT_EQ(mouse_says({0xe9}), (Bytes{0xfa, 0x30, 3, 80}));
  EXPECT_EQ(mouse_says({0xe8, 9}), (Bytes{0xfa, 0xfc}));
  mouse_says({0xff});
  EXPECT_EQ(mouse_says({0xf2}), (Bytes{0xfa, 0x00}));
}

TEST_F(I8042Test, MouseReports) {
  set_mode(0x03);
  mouse.move(5, 5, 0, 0);
  EXPECT_EQ(drain(), Bytes{}) << "reporting is off until asked for";
  mouse_says({0xf4});
  mouse.move(3, -2, 0, 1);
  EXPECT_EQ(drain(), (Bytes{0x09, 3, 2}));
  mouse.move(-1, 4, 1, 1);
  EXPECT_EQ(drain(), (Bytes{0x39, 0xff, 0xfc}));
  mouse.move(300, 0, 0, 1);
  EXPECT_EQ(drain(), (Bytes{0x09, 127, 0, 0x09, 127, 0, 0x09, 46, 0}));
}

TEST_F(I8042Test, MouseButtonsAreNeverMerged) {
  set_mode(0x03);
  mouse_says({0xf4});
  mouse.move(1, 0, 0, 0);
  mouse.move(1, 0, 0, 1);
  mouse.move(0, 0, 0, 0);
  mouse.move(2, 0, 0, 4);
  EXPECT_EQ(drain(), (Bytes{0x08, 1, 0, 0x09, 1, 0, 0x08, 0, 0, 0x0c, 2, 0}));
}

TEST_F(I8042Test, MouseReportsKeepTheSampleRate) {
  set_mode(0x03);
  mouse_says({0xf3, 20, 0xf4});
  for (int i = 0; i < 1000; ++i) {
    mouse.move(1, 0, 0, 0);
    run(kMs);
    if (status() & 1) data();
  }
  EXPECT_NEAR(irq12_edges, 20 * 3 + 3, 4);
}

TEST_F(I8042Test, WheelAndRemoteMode) {
  set_mode(0x03);
  mouse_says({0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf4});
  mouse.move(0, 0, 1, 0);
  EXPECT_EQ(drain(), (Bytes{0x08, 0, 0, 0xff}));
  mouse_says({0xf0});
  mouse.move(7, 0, 0, 2);
  EXPECT_EQ(drain(), Bytes{});
  EXPECT_EQ(mouse_says({0xeb}), (Bytes{0xfa, 0x0a, 7, 0, 0}));
  EXPECT_EQ(mouse_says({0xee, 0x42, 0xec}), (Bytes{0xfa, 0x42, 0xfa}));
}

TEST_F(I8042Test, StateRoundTrip) {
  set_mode(0x41);
  keyboard.key(kUp, true);
  run(kMs);
  StateArchive saved;
  saved.section("keyboard", 1, [&](StateArchive& ar) { keyboard.state(ar); });
  saved.section("mouse", 1, [&](StateArchive& ar) { mouse.state(ar); });
  saved.section("controller", 1, [&](StateArchive& ar) { controller.state(ar); });
  Ps2Keyboard keyboard2{scheduler};
  Ps2Mouse mouse2{scheduler};
  IrqLine line1, line12;
  I8042 controller2{scheduler, line1, line12, keyboard2, mouse2, [](bool) {}, [] {}};
  StateArchive loading{saved.bytes()};
  loading.section("keyboard", 1, [&](StateArchive& ar) { keyboard2.state(ar); });
  loading.section("mouse", 1, [&](StateArchive& ar) { mouse2.state(ar); });
  loading.section("controller", 1, [&](StateArchive& ar) { controller2.state(ar); });
  EXPECT_TRUE(line1.level());
  EXPECT_EQ(controller2.data_port().read(0, 1), 0xe0u);
  run(kMs);
  EXPECT_EQ(controller2.data_port().read(0, 1), 0x48u);
}

}  // namespace
}  // namespace vireo
