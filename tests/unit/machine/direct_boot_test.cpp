#include "core/machine/direct_boot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "devices/fw_cfg.h"

namespace vireo {
namespace {

using testing::HasSubstr;

constexpr uint64_t kMib = 1 << 20;

template <class T>
void put(std::vector<uint8_t>& bytes, size_t offset, T value) {
  std::memcpy(&bytes.at(offset), &value, sizeof value);
}

const std::vector<uint8_t>& item(const DirectBootPlan& plan, uint16_t key) {
  const auto found =
      std::find_if(plan.items.begin(), plan.items.end(), [&](const FwCfgItem& i) { return i.key == key; });
  EXPECT_NE(found, plan.items.end()) << "no item " << key;
  return found->bytes;
}

uint32_t number(const std::vector<uint8_t>& bytes, size_t offset = 0) {
  uint32_t value;
  std::memcpy(&value, &bytes.at(offset), sizeof value);
  return value;
}

uint32_t number(const DirectBootPlan& plan, uint16_t key) {
  return number(item(plan, key));
}

/// A bzImage with one setup sector and 64 KiB of protected-mode code.
std::vector<uint8_t> linux_kernel(uint16_t version = 0x20f) {
  std::vector<uint8_t> kernel(1024 + 65536, 0xcc);
  put<uint8_t>(kernel, 0x1f1, 1);
  put<uint32_t>(kernel, 0x1f4, 65536 / 16);
  put<uint16_t>(kernel, 0x1fe, 0xaa55);
  std::memcpy(&kernel[0x202], "HdrS", 4);
  put<uint16_t>(kernel, 0x206, version);
  put<uint8_t>(kernel, 0x211, 1);
  put<uint32_t>(kernel, 0x22c, 0x7fffffff);
  put<uint32_t>(kernel, 0x238, 100);
  put<uint64_t>(kernel, 0x258, 16 * kMib);
  put<uint32_t>(kernel, 0x260, 8 * kMib);
  return kernel;
}

DirectBootFiles files(std::vector<uint8_t> kernel, size_t initrd_size = 0, std::string command_line = "") {
  return {std::move(kernel), std::vector<uint8_t>(initrd_size, 0x11), std::move(command_line), "test-kernel"};
}

std::string message(const Result<DirectBootPlan>& result) {
  EXPECT_FALSE(result.ok());
  return result.ok() ? "" : result.error().message;
}

TEST(DirectBoot, LinuxGoesWhereItsHeaderSays) {
  const auto plan = plan_direct_boot(files(linux_kernel(), 5000, "console=ttyS0"), 64 * kMib);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(number(plan.value(), FwCfg::kKernelAddress), 0x100000u);
  EXPECT_EQ(number(plan.value(), FwCfg::kKernelSize), 65536u);
  EXPECT_EQ(item(plan.value(), FwCfg::kKernelData).size(), 65536u);
  EXPECT_EQ(number(plan.value(), FwCfg::kInitrdAddress), 64 * kMib - 8192);
  EXPECT_EQ(number(plan.value(), FwCfg::kInitrdSize), 5000u);
  const std::vector<uint8_t>& setup = item(plan.value(), FwCfg::kSetupData);
  ASSERT_EQ(setup.size(), 1024u);
  EXPECT_EQ(number(plan.value(), FwCfg::kSetupSize), 1024u);
  EXPECT_EQ(setup[0x210], 0xff);
  EXPECT_EQ(setup[0x211], 0x81);
  EXPECT_EQ(number(setup, 0x228), number(plan.value(), FwCfg::kCmdlineAddress));
  EXPECT_EQ(number(setup, 0x21c), 5000u);
  EXPECT_STREQ(reinterpret_cast<const char*>(item(plan.value(), FwCfg::kCmdlineData).data()),
               "console=ttyS0");
}

TEST(DirectBoot, InitrdStaysBelowTheKernelsLimit) {
  auto kernel = linux_kernel();
  put<uint32_t>(kernel, 0x22c, 32 * kMib - 1);
  const auto plan = plan_direct_boot(files(kernel, kMib), 256 * kMib);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(number(plan.value(), FwCfg::kInitrdAddress), 31 * kMib);
  EXPECT_THAT(message(plan_direct_boot(files(kernel, 20 * kMib), 256 * kMib)), HasSubstr("initrd of 20 MiB"));
}

TEST(DirectBoot, OldProtocolsUseTheBootSectorsCommandLineField) {
  const auto plan = plan_direct_boot(files(linux_kernel(0x200), 0, "root=/dev/fd0"), 64 * kMib);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(number(plan.value(), FwCfg::kSetupAddress), 0x90000u);
  const std::vector<uint8_t>& setup = item(plan.value(), FwCfg::kSetupData);
  EXPECT_EQ(number(setup, 0x20) & 0xffff, 0xa33fu);
  EXPECT_EQ(0x90000 + (number(setup, 0x20) >> 16), number(plan.value(), FwCfg::kCmdlineAddress));
  EXPECT_EQ(setup[0x211], 1);  // no heap before 2.01
}

TEST(DirectBoot, VgaOptionSetsTheVideoMode) {
  auto mode = [](std::string command_line) {
    const auto plan = plan_direct_boot(files(linux_kernel(), 0, std::move(command_line)), 64 * kMib);
    return number(item(plan.value(), FwCfg::kSetupData), 0x1fa) & 0xffff;
  };
  EXPECT_EQ(mode("vga=791 quiet"), 791u);
  EXPECT_EQ(mode("quiet vga=0x317"), 0x317u);
  EXPECT_EQ(mode("vga=ask"), 0xfffdu);
  EXPECT_EQ(mode("novga=1"), 0xccccu);
}

TEST(DirectBoot, ErrorsNameTheFileAndTheReason) {
  EXPECT_THAT(message(plan_direct_boot(files({1, 2, 3}), 64 * kMib)),
              HasSubstr("test-kernel: this is neither"));
  EXPECT_THAT(message(plan_direct_boot(files({}), 64 * kMib)), HasSubstr("neither"));
  auto kernel = linux_kernel();
  kernel.resize(kernel.size() - 16);
  EXPECT_THAT(message(plan_direct_boot(files(kernel), 64 * kMib)), HasSubstr("cut off"));
  EXPECT_THAT(message(plan_direct_boot(files(linux_kernel()), 16 * kMib)), HasSubstr("needs 25 MiB of RAM"));
  EXPECT_THAT(message(plan_direct_boot(files(linux_kernel(), 60 * kMib), 64 * kMib)), HasSubstr("-m"));
  EXPECT_THAT(message(plan_direct_boot(files(linux_kernel(), 0, std::string(101, 'x')), 64 * kMib)),
              HasSubstr("takes 100"));
  std::vector<uint8_t> elf(4096);
  std::memcpy(elf.data(),
              "\x7f"
              "ELF",
              4);
  EXPECT_THAT(message(plan_direct_boot(files(elf), 64 * kMib)), HasSubstr("bzImage, not vmlinux"));
}

/// A Multiboot header with load addresses at offset 16 of a file whose first byte goes to `load`.
std::vector<uint8_t> multiboot_kernel(uint32_t load, uint32_t flags = 1 << 16) {
  std::vector<uint8_t> kernel(1000, 0x90);
  const uint32_t words[] = {0x1badb002,  flags,    0u - (0x1badb002 + flags), load + 16, load, 0,
                            load + 8000, load + 64};
  std::memcpy(&kernel[16], words, sizeof words);
  return kernel;
}

TEST(DirectBoot, MultibootWithLoadAddresses) {
  const auto plan = plan_direct_boot(files(multiboot_kernel(2 * kMib), 300, "a b"), 16 * kMib);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(number(plan.value(), FwCfg::kSetupSize), 0u);
  EXPECT_EQ(number(plan.value(), FwCfg::kKernelAddress), 2 * kMib);
  EXPECT_EQ(number(plan.value(), FwCfg::kKernelEntry), 2 * kMib + 64);
  const std::vector<uint8_t>& memory = item(plan.value(), FwCfg::kKernelData);
  ASSERT_EQ(memory.size(), 8192u + 300);
  EXPECT_EQ(memory[999], 0x90);
  EXPECT_EQ(memory[1000], 0);
  EXPECT_EQ(memory[8192], 0x11);

  const std::vector<uint8_t>& info = item(plan.value(), FwCfg::kInitrdData);
  const uint32_t base = number(plan.value(), FwCfg::kInitrdAddress);
  EXPECT_EQ(number(info), 0x20cu);
  EXPECT_STREQ(reinterpret_cast<const char*>(&info[number(info, 16) - base]), "test-kernel a b");
  EXPECT_EQ(number(info, 20), 1u);
  const uint32_t module = number(info, 24) - base;
  EXPECT_EQ(number(info, module), 2 * kMib + 8192);
  EXPECT_EQ(number(info, module + 4), 2 * kMib + 8192 + 300);
}

std::vector<uint8_t> elf_kernel(uint32_t file_size = 100) {
  std::vector<uint8_t> kernel(4096, 0x90);
  const uint32_t identity[] = {0x464c457f, 0x00010101, 0, 0,          0x00030002, 1, 0xc0100010,
                               52,         0,          0, 0x00200034, 1,          0};
  std::memcpy(kernel.data(), identity, sizeof identity);
  const uint32_t segment[] = {1, 2048, 0xc0100000, 0x100000, file_size, 12288, 7, 4096};
  std::memcpy(&kernel[52], segment, sizeof segment);
  const uint32_t header[] = {0x1badb002, 3, 0u - (0x1badb002 + 3)};
  std::memcpy(&kernel[1024], header, sizeof header);
  return kernel;
}

TEST(DirectBoot, MultibootElfIsLoadedAtPhysicalAddresses) {
  const auto plan = plan_direct_boot(files(elf_kernel()), 16 * kMib);
  ASSERT_TRUE(plan.ok()) << plan.error().message;
  EXPECT_EQ(number(plan.value(), FwCfg::kKernelAddress), 0x100000u);
  EXPECT_EQ(number(plan.value(), FwCfg::kKernelEntry), 0x100010u);
  const std::vector<uint8_t>& memory = item(plan.value(), FwCfg::kKernelData);
  EXPECT_EQ(memory.size(), 12288u);
  EXPECT_EQ(memory[99], 0x90);
  EXPECT_EQ(memory[100], 0);
}

TEST(DirectBoot, MultibootErrors) {
  EXPECT_THAT(message(plan_direct_boot(files(multiboot_kernel(0x8000)), 16 * kMib)),
              HasSubstr("below 1 MiB"));
  EXPECT_THAT(message(plan_direct_boot(files(multiboot_kernel(2 * kMib, 1 << 16 | 8)), 16 * kMib)),
              HasSubstr("requires features 0x8"));
  EXPECT_THAT(message(plan_direct_boot(files(multiboot_kernel(2 * kMib, 0)), 16 * kMib)),
              HasSubstr("not ELF"));
  EXPECT_THAT(message(plan_direct_boot(files(multiboot_kernel(15 * kMib), 2 * kMib), 16 * kMib)),
              HasSubstr("needs 18 MiB"));
  EXPECT_THAT(message(plan_direct_boot(files(elf_kernel(4096)), 16 * kMib)), HasSubstr("cut off"));
  auto for_x86_64 = elf_kernel();
  for_x86_64[4] = 2;
  EXPECT_THAT(message(plan_direct_boot(files(for_x86_64), 16 * kMib)), HasSubstr("32-bit 386"));
}

}  // namespace
}  // namespace vireo
