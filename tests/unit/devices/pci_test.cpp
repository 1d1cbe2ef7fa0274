#include "devices/pci.h"

#include <gtest/gtest.h>

#include "devices/i440fx.h"
#include "devices/piix3.h"

namespace vireo {
namespace {

class ConstantRegion : public IoRegion {
 public:
  explicit ConstantRegion(uint64_t value) : value_(value) {}
  uint64_t read(uint32_t, unsigned) override { return value_; }
  void write(uint32_t, unsigned, uint64_t value) override { value_ = value; }

 private:
  uint64_t value_;
};

class TestFunction : public PciFunction {
 public:
  explicit TestFunction(uint64_t id, uint8_t pin = 1)
      : PciFunction({.vendor = 0x1234,
                     .device = 0x5678,
                     .revision = 9,
                     .class_code = 0x020304,
                     .subsystem_vendor = 0xabcd,
                     .subsystem = 0xef01,
                     .interrupt_pin = pin}),
        io(id),
        mmio(id),
        rom(0x1000, 0x55) {
    add_io_bar(0, 0x20, io);
    add_mmio_bar(1, 0x2000, mmio);
    add_rom(rom);
  }
  ConstantRegion io, mmio;
  std::vector<uint8_t> rom;
};

class PciTest : public testing::Test {
 protected:
  PciTest()
      : memory_(GuestMemory::create(2 << 20).take()),
        bus_(ports_, *memory_, [this](auto s, auto p, bool l) { intx_.emplace_back(s, p, l); }) {
    memory_->map_ram({0}, 0xa0000, 0, "low");
    ports_.map(0xcf8, 8, bus_, "pci");
  }
  static uint32_t address(unsigned slot, unsigned function, unsigned offset) {
    return 1u << 31 | slot << 11 | function << 8 | (offset & 0xfc);
  }
  uint32_t read(unsigned slot, unsigned offset, unsigned size = 4, unsigned function = 0) {
    ports_.write(0xcf8, 4, address(slot, function, offset));
    return ports_.read(static_cast<uint16_t>(0xcfc + (offset & 3)), size);
  }
  void write(unsigned slot, unsigned offset, unsigned size, uint32_t value, unsigned function = 0) {
    ports_.write(0xcf8, 4, address(slot, function, offset));
    ports_.write(static_cast<uint16_t>(0xcfc + (offset & 3)), size, value);
  }
  static constexpr unsigned kIoAndMemory = 3;

  IoBus ports_;
  std::unique_ptr<GuestMemory> memory_;
  std::vector<std::tuple<unsigned, unsigned, bool>> intx_;
  PciBus bus_;
};

TEST_F(PciTest, HeaderIsReadableAtAnySizeAndReadOnlyWhereItMustBe) {
  TestFunction f(0);
  bus_.attach(3, 0, f);
  EXPECT_EQ(read(3, 0x00), 0x56781234u);
  EXPECT_EQ(read(3, 0x02, 2), 0x5678u);
  EXPECT_EQ(read(3, 0x0b, 1), 0x02u);
  EXPECT_EQ(read(3, 0x08), 0x02030409u);
  EXPECT_EQ(read(3, 0x2c), 0xef01abcdu);
  write(3, 0x00, 4, 0xffffffff);
  EXPECT_EQ(read(3, 0x00), 0x56781234u);
  write(3, 0x3c, 2, 0x0b0b);
  EXPECT_EQ(read(3, 0x3c, 2), 0x010bu);
}

TEST_F(PciTest, EmptySlotsOtherBusesAndDisabledCyclesReadAllOnes) {
  TestFunction f(0);
  bus_.attach(3, 0, f);
  EXPECT_EQ(read(4, 0), 0xffffffffu);
  EXPECT_EQ(read(3, 0, 4, 1), 0xffffffffu);
  ports_.write(0xcf8, 4, address(3, 0, 0) | 1 << 16);
  EXPECT_EQ(ports_.read(0xcfc, 4), 0xffffffffu);
  ports_.write(0xcf8, 4, address(3, 0, 0) & ~(1u << 31));
  EXPECT_EQ(ports_.read(0xcfc, 4), 0xffffffffu);
}

TEST_F(PciTest, ConfigAddressTakesDwordsOnly) {
  ConstantRegion narrow(0x42);
  bus_.pass_narrow_accesses_to(narrow);
  ports_.write(0xcf8, 4, 0xffffffff);
  EXPECT_EQ(ports_.read(0xcf8, 4), 0x80fffffcu);
  EXPECT_EQ(ports_.read(0xcf9, 1), 0x42u);
  ports_.write(0xcf9, 1, 6);
  EXPECT_EQ(ports_.read(0xcf8, 4), 0x80fffffcu);
  EXPECT_EQ(ports_.read(0xcf9, 1), 6u);
}

TEST_F(PciTest, BarsTellTheirSizeAndType) {
  TestFunction f(0);
  bus_.attach(3, 0, f);
  for (const unsigned bar : {0x10, 0x14, 0x18, 0x30}) write(3, bar, 4, 0xffffffff);
  EXPECT_EQ(read(3, 0x10), 0xffffffe1u);
  EXPECT_EQ(read(3, 0x14), 0xffffe000u);
  EXPECT_EQ(read(3, 0x18), 0u);
  EXPECT_EQ(read(3, 0x30), 0xfffff001u);
}

TEST_F(PciTest, BarsAreMappedOnlyWhileDecoded) {
  TestFunction f(0x77);
  bus_.attach(3, 0, f);
  write(3, 0x10, 4, 0xc000);
  write(3, 0x14, 4, 0xe0000000);
  write(3, 0x30, 4, 0xe2000001);
  EXPECT_EQ(ports_.read(0xc010, 1), 0xffu);
  write(3, 0x04, 2, kIoAndMemory);
  EXPECT_EQ(ports_.read(0xc010, 1), 0x77u);
  EXPECT_EQ(memory_->read_mmio({0xe0001ffc}, 4), 0x77u);
  EXPECT_EQ(memory_->read_value<uint8_t>({0xe2000fff}), 0x55);
  write(3, 0x10, 4, 0xd000);
  EXPECT_EQ(ports_.read(0xc010, 1), 0xffu);
  EXPECT_EQ(ports_.read(0xd01f, 1), 0x77u);
  write(3, 0x04, 2, 0);
  EXPECT_EQ(ports_.read(0xd010, 1), 0xffu);
  EXPECT_EQ(memory_->page({0xe0000000}).mmio, nullptr);
  EXPECT_EQ(memory_->page({0xe2000000}).read, nullptr);
}

TEST_F(PciTest, ABarOverSomethingElseWaitsForItsPlace) {
  TestFunction a(1), b(2);
  bus_.attach(3, 0, a);
  bus_.attach(4, 0, b);
  write(3, 0x04, 2, kIoAndMemory);
  write(4, 0x04, 2, kIoAndMemory);
  write(3, 0x10, 4, 0xc000);
  write(4, 0x10, 4, 0xc000);
  EXPECT_EQ(ports_.read(0xc000, 1), 1u);
  write(3, 0x10, 4, 0xc100);
  EXPECT_EQ(ports_.read(0xc000, 1), 2u);
  EXPECT_EQ(ports_.read(0xc100, 1), 1u);
  // Over RAM and over the top of the port space: ignored, not fatal.
  write(3, 0x14, 4, 0x2000);
  write(3, 0x10, 4, 0xffffffe0);
  EXPECT_EQ(memory_->page({0x2000}).mmio, nullptr);
  EXPECT_EQ(ports_.read(0xc100, 1), 0xffu);
}

TEST_F(PciTest, ResetUnmapsAndRestoresEverything) {
  TestFunction f(7);
  bus_.attach(3, 0, f);
  write(3, 0x10, 4, 0xc000);
  write(3, 0x04, 2, kIoAndMemory);
  f.interrupt().raise();
  f.reset_config();
  EXPECT_EQ(ports_.read(0xc000, 1), 0xffu);
  EXPECT_EQ(read(3, 0x10), 1u);
  EXPECT_FALSE(f.interrupt().level());
}

TEST_F(PciTest, StateBringsMappingsBack) {
  TestFunction f(7);
  bus_.attach(3, 0, f);
  write(3, 0x10, 4, 0xc000);
  write(3, 0x04, 2, kIoAndMemory);
  StateArchive out;
  f.config_state(out);
  f.reset_config();
  StateArchive in(out.bytes());
  f.config_state(in);
  EXPECT_EQ(ports_.read(0xc000, 1), 7u);
}

TEST_F(PciTest, InterruptsOfOneSlotAndPinAreOred) {
  TestFunction a(0, 1), b(0, 1), c(0, 4);
  bus_.attach(5, 0, a);
  bus_.attach(5, 1, b);
  bus_.attach(5, 2, c);
  a.interrupt().raise();
  b.interrupt().raise();
  a.interrupt().lower();
  EXPECT_EQ(intx_.back(), std::make_tuple(5u, 0u, true));
  b.interrupt().lower();
  EXPECT_EQ(intx_.back(), std::make_tuple(5u, 0u, false));
  c.interrupt().raise();
  EXPECT_EQ(intx_.back(), std::make_tuple(5u, 3u, true));
}

TEST_F(PciTest, HostBridgeShadowsTheBios) {
  std::vector<uint8_t> rom(0x20000, 0xee);
  memory_->map_rom({0xe0000}, rom, "bios");
  I440fx bridge(*memory_);
  bus_.attach(0, 0, bridge);
  bridge.reset();
  EXPECT_EQ(read(0, 0), 0x12378086u);
  EXPECT_EQ(read(0, 0x2c), 0x11001af4u);
  // Firmware's way: make all writable RAM, copy the ROM, write-protect.
  write(0, 0x59, 1, 0x30);
  for (unsigned pam = 0x5a; pam <= 0x5f; ++pam) write(0, pam, 1, 0x33);
  memory_->write_value<uint32_t>({0xc0000}, 0x11111111);
  memory_->write_value<uint32_t>({0xffffc}, 0x22222222);
  write(0, 0x59, 1, 0x10);
  write(0, 0x5a, 1, 0x31);  // 0xc0000 read only, 0xc4000 read and write
  memory_->write_value<uint32_t>({0xc0000}, 0);
  memory_->write_value<uint32_t>({0xc4000}, 0x33333333);
  memory_->write_value<uint32_t>({0xffffc}, 0);
  EXPECT_EQ(memory_->read_value<uint32_t>({0xc0000}), 0x11111111u);
  EXPECT_EQ(memory_->read_value<uint32_t>({0xc4000}), 0x33333333u);
  EXPECT_EQ(memory_->read_value<uint32_t>({0xffffc}), 0x22222222u);
  write(0, 0x72, 1, 0x4a);
  EXPECT_EQ(read(0, 0x72, 1), 0x4au);
  bridge.reset();
  EXPECT_EQ(memory_->read_value<uint32_t>({0xffffc}), 0xeeeeeeeeu);
  EXPECT_EQ(memory_->page({0xc0000}).read, nullptr);
}

TEST_F(PciTest, HostBridgeStateRestoresShadowing) {
  I440fx bridge(*memory_);
  bus_.attach(0, 0, bridge);
  write(0, 0x5f, 1, 0x33);
  StateArchive out;
  bridge.state(out);
  bridge.reset();
  StateArchive in(out.bytes());
  bridge.state(in);
  EXPECT_NE(memory_->page({0xef000}).write, nullptr);
  EXPECT_EQ(memory_->page({0xf0000}).write, nullptr);
}

class Piix3Test : public PciTest {
 protected:
  Piix3Test() {
    bus_.attach(1, 0, piix3_);
    piix3_.reset();
    bus_.pass_narrow_accesses_to(piix3_.reset_control());
  }
  uint32_t levels_ = 0;
  int resets_ = 0;
  IrqHub hub_{16, [this](unsigned wire, bool level) {
                levels_ = level ? levels_ | 1u << wire : levels_ & ~(1u << wire);
              }};
  int soft_resets_ = 0;
  Piix3 piix3_{hub_, [this] { ++resets_; }, [this] { ++soft_resets_; }};
};

TEST_F(Piix3Test, PirqsFollowTheRoutingRegisters) {
  EXPECT_EQ(read(1, 0x60), 0x80808080u);
  piix3_.set_intx(3, 0, true);  // PIRQC
  EXPECT_EQ(levels_, 0u);
  write(1, 0x60, 4, 0x0b0b0a0a);
  EXPECT_EQ(levels_, 1u << 11);
  write(1, 0x62, 1, 5);
  EXPECT_EQ(levels_, 1u << 5);
  write(1, 0x62, 1, 2);  // not an IRQ that PCI may have
  EXPECT_EQ(levels_, 0u);
}

TEST_F(Piix3Test, SharedPirqsStayUpUntilTheLastSourceFalls) {
  write(1, 0x60, 4, 0x0b0b0a0a);
  piix3_.set_intx(1, 0, true);  // PIRQA
  piix3_.set_intx(5, 0, true);  // PIRQA
  piix3_.set_intx(2, 0, true);  // PIRQB, also IRQ 10
  piix3_.set_intx(1, 0, false);
  piix3_.set_intx(5, 0, false);
  EXPECT_EQ(levels_, 1u << 10);
  piix3_.set_intx(2, 0, false);
  EXPECT_EQ(levels_, 0u);
}

TEST_F(Piix3Test, ResetControlResetsOnTheRisingEdge) {
  ports_.write(0xcf9, 1, 2);
  EXPECT_EQ(resets_, 0);
  EXPECT_EQ(ports_.read(0xcf9, 1), 2u);
  ports_.write(0xcf9, 1, 6);
  EXPECT_EQ(resets_, 1);
  EXPECT_EQ(soft_resets_, 0);
  ports_.write(0xcf9, 1, 0);
  ports_.write(0xcf9, 1, 4);
  EXPECT_EQ(resets_, 1);
  EXPECT_EQ(soft_resets_, 1);
}

TEST_F(Piix3Test, StateKeepsRoutesAndLevels) {
  write(1, 0x60, 1, 11);
  piix3_.set_intx(1, 0, true);
  StateArchive out;
  piix3_.state(out);
  hub_.state(out);
  piix3_.reset();
  EXPECT_EQ(levels_, 0u);
  StateArchive in(out.bytes());
  piix3_.state(in);
  hub_.state(in);
  EXPECT_TRUE(hub_.level(11));
  piix3_.set_intx(1, 0, false);
  EXPECT_FALSE(hub_.level(11));
}

}  // namespace
}  // namespace vireo
