#include "core/io_bus.h"

#include <gtest/gtest.h>

#include <vector>

namespace vireo {
namespace {

struct Access {
  uint32_t offset;
  unsigned size;
  uint64_t value;
  bool operator==(const Access&) const = default;
};

class RecordingPorts : public IoRegion {
 public:
  uint64_t read(uint32_t offset, unsigned size) override {
    reads.push_back({offset, size, 0});
    return 0x1111111100000000 | (0x80u + offset);
  }
  void write(uint32_t offset, unsigned size, uint64_t value) override {
    writes.push_back({offset, size, value});
  }
  std::vector<Access> reads, writes;
};

TEST(IoBus, UnclaimedPortsReadAllOnesAndSwallowWrites) {
  IoBus bus;
  EXPECT_EQ(bus.read(0x300, 1), 0xffu);
  EXPECT_EQ(bus.read(0x300, 2), 0xffffu);
  EXPECT_EQ(bus.read(0x300, 4), 0xffffffffu);
  bus.write(0x300, 4, 0);
  EXPECT_TRUE(bus.is_free(0, IoBus::kPorts));
}

TEST(IoBus, AccessesInsideARegionKeepTheirSize) {
  IoBus bus;
  RecordingPorts ports;
  bus.map(0x1f0, 8, ports, "ide");
  EXPECT_EQ(bus.read(0x1f2, 2), 0x82u);
  bus.write(0x1f0, 4, 0xdeadbeef);
  bus.write(0x1f7, 1, 0x1234);
  EXPECT_EQ(ports.reads, (std::vector<Access>{{2, 2, 0}}));
  EXPECT_EQ(ports.writes, (std::vector<Access>{{0, 4, 0xdeadbeef}, {7, 1, 0x34}}));
}

TEST(IoBus, AccessesAcrossAnEdgeAreSplitIntoBytes) {
  IoBus bus;
  RecordingPorts low, high;
  bus.map(0x60, 1, low, "low");
  bus.map(0x61, 1, high, "high");
  EXPECT_EQ(bus.read(0x5f, 4), 0xff8080ffu);
  bus.write(0x60, 2, 0xabcd);
  EXPECT_EQ(low.writes, (std::vector<Access>{{0, 1, 0xcd}}));
  EXPECT_EQ(high.writes, (std::vector<Access>{{0, 1, 0xab}}));
}

TEST(IoBus, LastPortWrapsToTheFirst) {
  IoBus bus;
  RecordingPorts first, last;
  bus.map(0, 1, first, "first");
  bus.map(0xffff, 1, last, "last");
  bus.write(0xffff, 2, 0x2211);
  EXPECT_EQ(last.writes, (std::vector<Access>{{0, 1, 0x11}}));
  EXPECT_EQ(first.writes, (std::vector<Access>{{0, 1, 0x22}}));
}

TEST(IoBus, UnmappedPlacesCanBeUsedAgain) {
  IoBus bus;
  RecordingPorts a, b;
  bus.map(0xc000, 0x100, a, "a");
  EXPECT_FALSE(bus.is_free(0xc0ff, 1));
  EXPECT_TRUE(bus.is_free(0xc100, 1));
  EXPECT_FALSE(bus.is_free(0xffff, 2));
  bus.unmap(0xc000);
  EXPECT_EQ(bus.read(0xc000, 1), 0xffu);
  bus.map(0xc000, 4, b, "b");
  bus.write(0xc001, 1, 7);
  EXPECT_TRUE(a.writes.empty());
  EXPECT_EQ(b.writes.size(), 1u);
}

}  // namespace
}  // namespace vireo
