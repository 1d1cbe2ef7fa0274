#include "core/state_archive.h"

#include <gtest/gtest.h>

namespace vireo {
namespace {

struct Channel {
  uint16_t count = 0;
  bool gate = false;
  void state(StateArchive& ar) {
    ar.field("count", count);
    ar.field("gate", gate);
  }
};

struct Chip {
  uint32_t control = 0;
  std::array<Channel, 3> channels{};
  std::vector<uint8_t> fifo;
  std::deque<uint16_t> queue;
  std::string label;
  void state(StateArchive& ar) {
    ar.field("control", control);
    ar.fields("channel", channels);
    ar.field("fifo", fifo);
    ar.field("queue", queue);
    ar.field("label", label);
  }
};

std::vector<uint8_t> save(Chip& chip, uint32_t version = 1) {
  StateArchive ar;
  ar.section("chip", version, [&](StateArchive& in) { chip.state(in); });
  return ar.bytes();
}

void load(Chip& chip, std::span<const uint8_t> bytes, uint32_t version = 1) {
  StateArchive ar(bytes);
  ar.section("chip", version, [&](StateArchive& in) { chip.state(in); });
}

TEST(StateArchive, EveryKindOfFieldComesBack) {
  Chip chip;
  chip.control = 0x12345678;
  chip.channels[2] = {.count = 99, .gate = true};
  chip.fifo = {1, 2, 3};
  chip.queue = {500, 600};
  chip.label = "hello";
  Chip copy;
  copy.fifo = {9, 9, 9, 9, 9};
  load(copy, save(chip));
  EXPECT_EQ(copy.control, chip.control);
  EXPECT_EQ(copy.channels[2].count, 99);
  EXPECT_TRUE(copy.channels[2].gate);
  EXPECT_EQ(copy.fifo, chip.fifo);
  EXPECT_EQ(copy.queue, chip.queue);
  EXPECT_EQ(copy.label, "hello");
  EXPECT_EQ(save(copy), save(chip));
}

TEST(StateArchive, OrderOfFieldsDoesNotMatterWhenLoading) {
  StateArchive out;
  uint8_t a = 1, b = 2;
  out.field("a", a);
  out.field("b", b);
  uint8_t a2 = 0, b2 = 0;
  StateArchive in(out.bytes());
  in.field("b", b2);
  in.field("a", a2);
  EXPECT_EQ(a2, 1);
  EXPECT_EQ(b2, 2);
}

TEST(StateArchive, WrongVersionMissingFieldAndWrongSizeAreErrors) {
  Chip chip;
  const auto bytes = save(chip);
  EXPECT_THROW(load(chip, bytes, 2), StateError);

  StateArchive in(bytes);
  uint8_t byte = 0;
  EXPECT_THROW(in.field("nowhere", byte), StateError);
  EXPECT_THROW(in.section("chip", 1, [&](StateArchive& ar) { ar.field("control", byte); }), StateError);
}

TEST(StateArchive, DamagedBytesAreErrors) {
  Chip chip;
  chip.fifo.assign(100, 7);
  auto bytes = save(chip);
  for (const size_t length : {size_t{0}, size_t{5}, size_t{9}, bytes.size() / 2, bytes.size() - 1}) {
    EXPECT_THROW(load(chip, std::span(bytes).first(length)), StateError) << length;
  }
  bytes[0] ^= 1;
  EXPECT_THROW(load(chip, bytes), StateError);
}

}  // namespace
}  // namespace vireo
