#include "core/guest_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vireo {
namespace {

using Shadow = GuestMemory::Shadow;

class RecordingRegion : public IoRegion {
 public:
  uint64_t read(uint32_t offset, unsigned size) override {
    last_offset = offset;
    last_size = size;
    return 0x1122334455667788;
  }
  void write(uint32_t offset, unsigned size, uint64_t value) override {
    last_offset = offset;
    last_size = size;
    last_value = value;
  }
  uint32_t last_offset = ~0u;
  unsigned last_size = 0;
  uint64_t last_value = 0;
};

class MockListener : public MemoryListener {
 public:
  MOCK_METHOD(void, on_code_written, (Gpa start, uint64_t size, Writer writer), (override));
  MOCK_METHOD(void, on_layout_changed, (), (override));
  MOCK_METHOD(void, on_mmio_changed, (), (override));
};

class GuestMemoryTest : public testing::Test {
 protected:
  GuestMemoryTest() : memory_(GuestMemory::create(4 << 20).take()) {
    memory_->map_ram({0}, 0xa0000, 0, "low");
    memory_->map_ram({0x100000}, 0x300000, 0x100000, "high");
  }
  std::unique_ptr<GuestMemory> memory_;
};

TEST_F(GuestMemoryTest, RamReadsBackAcrossPagesAndThroughTheHostView) {
  const std::vector<uint8_t> bytes(10000, 0x5a);
  EXPECT_TRUE(memory_->write({0x1ffe}, bytes));
  std::vector<uint8_t> back(bytes.size());
  EXPECT_TRUE(memory_->read({0x1ffe}, back));
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(memory_->ram()[0x1ffd], 0);
  EXPECT_EQ(memory_->ram()[0x1ffe], 0x5a);
  EXPECT_EQ(memory_->page({0x2345}).read, memory_->ram().data() + 0x2000);
}

TEST_F(GuestMemoryTest, HolesReadAllOnesAndDropWrites) {
  std::array<uint8_t, 4> out{};
  EXPECT_FALSE(memory_->read({0x9fffe}, out));
  EXPECT_EQ(out, (std::array<uint8_t, 4>{0, 0, 0xff, 0xff}));
  EXPECT_FALSE(memory_->write({0xb0000}, out));
  EXPECT_EQ(memory_->read_mmio({0xb0000}, 2), 0xffffu);
  memory_->write_mmio({0xb0000}, 4, 1);
  EXPECT_EQ(memory_->read_value<uint32_t>({0xb0000}), 0xffffffffu);
}

TEST_F(GuestMemoryTest, MmioGetsOffsetsAndMaskedValues) {
  RecordingRegion region;
  memory_->map_mmio({0xa0000}, 0x20000, region, "vga");
  EXPECT_EQ(memory_->read_mmio({0xb8002}, 2), 0x7788u);
  EXPECT_EQ(region.last_offset, 0x18002u);
  memory_->write_mmio({0xa0001}, 1, 0x1234);
  EXPECT_EQ(region.last_offset, 1u);
  EXPECT_EQ(region.last_value, 0x34u);
  EXPECT_EQ(memory_->page({0xb8000}).mmio, &region);
  EXPECT_EQ(memory_->page({0xb8000}).mmio_offset, 0x18000u);
  memory_->unmap({0xa0000});
  EXPECT_EQ(memory_->page({0xb8000}).mmio, nullptr);
}

TEST_F(GuestMemoryTest, RomIsReadOnly) {
  std::vector<uint8_t> rom(0x10000, 0xf4);
  memory_->map_rom({0xffff0000}, rom, "bios");
  EXPECT_EQ(memory_->read_value<uint8_t>({0xfffffff0}), 0xf4);
  EXPECT_FALSE(memory_->write({0xfffffff0}, std::array<uint8_t, 1>{0}));
  memory_->write_mmio({0xfffffff0}, 1, 0);
  EXPECT_EQ(rom[0xfff0], 0xf4);
  EXPECT_EQ(memory_->page({0xfffff000}).write, nullptr);
}

TEST_F(GuestMemoryTest, ShadowDirectsReadsAndWritesSeparately) {
  std::vector<uint8_t> rom(0x10000, 0xaa);
  memory_->map_rom({0xf0000}, rom, "bios");
  memory_->ram()[0xf0000] = 0x11;

  memory_->set_shadow({0xf0000}, 0x10000, Shadow::kWriteRam);
  EXPECT_EQ(memory_->read_value<uint8_t>({0xf0000}), 0xaa);
  memory_->write_value<uint8_t>({0xf0001}, 0x22);
  EXPECT_EQ(memory_->ram()[0xf0001], 0x22);

  memory_->set_shadow({0xf0000}, 0x10000, Shadow::kReadRam);
  EXPECT_EQ(memory_->read_value<uint16_t>({0xf0000}), 0x2211);
  memory_->write_value<uint8_t>({0xf0001}, 0x33);
  EXPECT_EQ(memory_->ram()[0xf0001], 0x22);

  memory_->set_shadow({0xf0000}, 0x10000, Shadow::kReadWriteRam);
  memory_->write_value<uint8_t>({0xf0001}, 0x44);
  EXPECT_EQ(memory_->read_value<uint8_t>({0xf0001}), 0x44);

  memory_->set_shadow({0xf0000}, 0x10000, Shadow::kNone);
  EXPECT_EQ(memory_->read_value<uint8_t>({0xf0001}), 0xaa);
  EXPECT_EQ(rom[1], 0xaa);
}

TEST_F(GuestMemoryTest, ShadowNeedsNothingMappedAbove) {
  memory_->set_shadow({0xc0000}, 0x4000, Shadow::kReadWriteRam);
  memory_->write_value<uint32_t>({0xc3ffc}, 0xaa55);
  EXPECT_EQ(memory_->read_value<uint32_t>({0xc3ffc}), 0xaa55u);
  EXPECT_EQ(memory_->page({0xc4000}).read, nullptr);
}

TEST_F(GuestMemoryTest, ClosedA20WrapsTheSecondMebibyte) {
  memory_->write_value<uint32_t>({0x500}, 1);
  memory_->write_value<uint32_t>({0x100500}, 2);
  memory_->set_a20(false);
  EXPECT_EQ(memory_->read_value<uint32_t>({0x100500}), 1u);
  EXPECT_EQ(memory_->page({0x300000}).read, memory_->ram().data() + 0x200000);
  memory_->set_a20(true);
  EXPECT_EQ(memory_->read_value<uint32_t>({0x100500}), 2u);
}

TEST_F(GuestMemoryTest, CodeMarksTellListenersOfWrites) {
  MockListener listener;
  const CodeOwner owner(*memory_);
  memory_->add_listener(listener);
  memory_->mark_code({0x3000}, owner);
  EXPECT_TRUE(memory_->has_code_mark({0x3abc}));
  EXPECT_TRUE(GuestMemory::must_tell(*memory_->page({0x3000}).code_mark));
  EXPECT_CALL(listener, on_code_written(Gpa{0x3000}, 2, MemoryListener::Writer::kOther));
  memory_->write_value<uint32_t>({0x2ffe}, 0);
  testing::Mock::VerifyAndClearExpectations(&listener);

  EXPECT_CALL(listener, on_code_written).Times(0);
  memory_->clear_code_mark({0x3000}, owner);
  memory_->write_value<uint32_t>({0x3000}, 0);
  memory_->remove_listener(listener);
}

TEST_F(GuestMemoryTest, EachOwnerOfCodeHasMarksOfItsOwn) {
  const CodeOwner first(*memory_);
  auto second = std::make_unique<CodeOwner>(*memory_);
  for (const CodeOwner* owner : {&first, &std::as_const(*second)}) {
    memory_->mark_code({0x3000}, *owner);
    memory_->mark_code({0x4000}, *owner);
  }
  memory_->clear_code_mark({0x3000}, first);
  EXPECT_TRUE(memory_->has_code_mark({0x3000}));
  second.reset();
  EXPECT_FALSE(memory_->has_code_mark({0x3000})) << "an owner that goes takes its marks with it";
  EXPECT_TRUE(memory_->has_code_mark({0x4000}));
}

TEST_F(GuestMemoryTest, CodeInRomUnderWriteShadowIsNotMarked) {
  std::vector<uint8_t> rom(0x1000, 0x90);
  memory_->map_rom({0xf0000}, rom, "bios");
  memory_->set_shadow({0xf0000}, 0x1000, Shadow::kWriteRam);
  const CodeOwner owner(*memory_);
  memory_->mark_code({0xf0000}, owner);
  EXPECT_FALSE(memory_->has_code_mark({0xf0000}));
  memory_->set_shadow({0xf0000}, 0x1000, Shadow::kReadWriteRam);
  memory_->mark_code({0xf0000}, owner);
  EXPECT_TRUE(memory_->has_code_mark({0xf0000}));
}

TEST_F(GuestMemoryTest, LayoutChangesAreToldOnceEach) {
  MockListener listener;
  RecordingRegion region;
  memory_->add_listener(listener);
  EXPECT_CALL(listener, on_mmio_changed).Times(2);
  EXPECT_CALL(listener, on_layout_changed).Times(4);
  memory_->map_mmio({0xfee00000}, 0x1000, region, "apic");
  memory_->unmap({0xfee00000});
  std::vector<uint8_t> rom(0x1000);
  memory_->map_rom({0xfff00000}, rom, "flash");
  memory_->unmap({0xfff00000});
  memory_->set_a20(false);
  memory_->set_a20(false);
  memory_->set_shadow({0xc0000}, 0x4000, Shadow::kReadRam);
  memory_->set_shadow({0xc0000}, 0x4000, Shadow::kReadRam);
  memory_->remove_listener(listener);
}

TEST_F(GuestMemoryTest, IsFreeSeesOverlapAndWrapAround) {
  EXPECT_TRUE(memory_->is_free({0xa0000}, 0x60000));
  EXPECT_FALSE(memory_->is_free({0xa0000}, 0x61000));
  EXPECT_FALSE(memory_->is_free({0x9f000}, 0x1000));
  EXPECT_FALSE(memory_->is_free({~kPageMask}, 0x2000));
}

TEST(GuestMemoryCreate, RefusesWhatTheHostCannotGive) {
  auto odd = GuestMemory::create((1 << 20) + 1);
  ASSERT_FALSE(odd.ok());
  EXPECT_EQ(odd.error().status, ExitStatus::kUsage);
  auto huge = GuestMemory::create(uint64_t{1} << 50);
  ASSERT_FALSE(huge.ok());
  EXPECT_EQ(huge.error().status, ExitStatus::kHostCannot);
  EXPECT_THAT(huge.error().message, testing::HasSubstr("1073741824 MiB"));
}

}  // namespace
}  // namespace vireo
