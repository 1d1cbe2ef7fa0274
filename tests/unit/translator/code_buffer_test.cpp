#include "translator/code_buffer.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace vireo::translator {
namespace {

constexpr uint64_t kBytes = uint64_t{1} << 20;

/// "rwx" of this process's mapping of an address, as /proc/self/maps has it.
std::string rights(const void* address) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> maps(std::fopen("/proc/self/maps", "r"), std::fclose);
  char line[512];
  while (maps != nullptr && std::fgets(line, sizeof line, maps.get()) != nullptr) {
    unsigned long start = 0, end = 0;
    char text[8] = {};
    if (std::sscanf(line, "%lx-%lx %4s", &start, &end, text) != 3) continue;
    const auto wanted = reinterpret_cast<unsigned long>(address);
    if (wanted >= start && wanted < end) return {text, 3};
  }
  return "";
}

class CodeBufferTest : public testing::Test {
 protected:
  const uint8_t* at(uint64_t offset) const { return buffer->executable() + offset; }

  std::unique_ptr<CodeBuffer> buffer = CodeBuffer::create(kBytes).take();
};

TEST_F(CodeBufferTest, NothingIsWritableAndExecutable) {
  EXPECT_EQ(rights(buffer->executable()), "r-x");
  EXPECT_EQ(rights(buffer->writable(buffer->executable())), "rw-");
  EXPECT_EQ(rights(at(kBytes - 1)), "r-x");
}

TEST_F(CodeBufferTest, WhatIsWrittenExecutes) {
  const std::vector<uint8_t> code = {0xb8, 42, 0, 0, 0, 0xc3};  // mov eax, 42; ret
  buffer->write(at(kBytes - 64), code);
  EXPECT_EQ(std::memcmp(at(kBytes - 64), code.data(), code.size()), 0);
  EXPECT_EQ(reinterpret_cast<int (*)()>(reinterpret_cast<uintptr_t>(at(kBytes - 64)))(), 42);
}

TEST_F(CodeBufferTest, PatchedJumpsReachTheirTarget) {
  // jmp ?; mov eax, 1 and ret before it, mov eax, 2 and ret behind it
  buffer->write(at(64), std::vector<uint8_t>{0xe9, 0, 0, 0, 0});
  buffer->write(at(16), std::vector<uint8_t>{0xb8, 1, 0, 0, 0, 0xc3});
  buffer->write(at(128), std::vector<uint8_t>{0xb8, 2, 0, 0, 0, 0xc3});
  const auto call = reinterpret_cast<int (*)()>(reinterpret_cast<uintptr_t>(at(64)));
  buffer->patch_relative(at(65), at(128));
  EXPECT_EQ(call(), 2);
  buffer->patch_relative(at(65), at(16));
  EXPECT_EQ(call(), 1);
  buffer->patch_value(at(17), 77);
  EXPECT_EQ(call(), 77);
}

TEST_F(CodeBufferTest, ContainsItsBytesOnly) {
  const auto start = reinterpret_cast<uint64_t>(buffer->executable());
  EXPECT_TRUE(buffer->contains(start));
  EXPECT_TRUE(buffer->contains(start + kBytes - 1));
  EXPECT_FALSE(buffer->contains(start + kBytes));
  EXPECT_FALSE(buffer->contains(start - 1));
}

}  // namespace
}  // namespace vireo::translator
