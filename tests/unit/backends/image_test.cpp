#include "devices/backends/image.h"

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "devices/backends/image_check.h"
#include "tests/unit/backends/temporary_folder.h"

namespace vireo {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class ImageTest : public TemporaryFolder {
 protected:
  /// The message of the failure, which must begin with the path and be one sentence.
  std::string failure(const std::string& file, ImageKind kind, const ImageOptions& options = {}) {
    auto result = open_image(file, kind, options);
    if (result) return "opened";
    EXPECT_EQ(result.error().status, ExitStatus::kUsage);
    EXPECT_THAT(result.error().message, StartsWith(file + ": "));
    EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
    return result.error().message;
  }
  static std::unique_ptr<BlockBackend> open(const std::string& file, ImageKind kind,
                                            const ImageOptions& options = {}) {
    auto result = open_image(file, kind, options);
    EXPECT_TRUE(result) << result.error().message;
    return result ? result.take() : nullptr;
  }
  static std::vector<uint8_t> read(BlockBackend& backend, uint64_t offset, size_t size) {
    std::vector<uint8_t> bytes(size);
    EXPECT_TRUE(backend.read(offset, bytes));
    return bytes;
  }
  static bool fill(BlockBackend& backend, uint64_t offset, size_t size, uint8_t value) {
    return backend.write(offset, std::vector<uint8_t>(size, value));
  }
};

TEST_F(ImageTest, ReadsAndWritesAFile) {
  const std::string file = make_file("disk", 1 << 20);
  {
    auto disk = open(file, ImageKind::kDisk);
    EXPECT_EQ(disk->size(), 1u << 20);
    EXPECT_FALSE(disk->read_only());
    EXPECT_TRUE(fill(*disk, 512, 512, 0x41));
    EXPECT_TRUE(disk->flush());
    EXPECT_THAT(read(*disk, 512, 512), Each(0x41));
  }
  EXPECT_EQ(contents(file).substr(511, 2), std::string("\0A", 2));
}

TEST_F(ImageTest, WrongSortsOfFiles) {
  EXPECT_THAT(failure(path("nothing"), ImageKind::kDisk), HasSubstr("no such file"));
  EXPECT_THAT(failure(folder_.string(), ImageKind::kDisk), HasSubstr("directory"));
  EXPECT_THAT(failure("/dev/null", ImageKind::kDisk), HasSubstr("character device"));
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(failure(path("pipe"), ImageKind::kDisk), HasSubstr("pipe")) << "and does not wait for a writer";
  EXPECT_THAT(failure("", ImageKind::kDisk), HasSubstr("no such file"));
}

TEST_F(ImageTest, WrongSizes) {
  EXPECT_THAT(failure(make_file("a", 0), ImageKind::kDisk), HasSubstr("empty"));
  EXPECT_THAT(failure(make_file("b", 1000), ImageKind::kDisk), HasSubstr("multiple of 512"));
  EXPECT_THAT(failure(make_file("c", 512 * 5), ImageKind::kCdrom), HasSubstr("multiple of 2048"));
  EXPECT_THAT(failure(make_file("d", 3'000'000), ImageKind::kFloppy), HasSubstr("2.88M"));
  EXPECT_THAT(failure(make_file("e", 1'000'448), ImageKind::kFloppy),
              HasSubstr("known are 160K (163840 bytes), 180K"));
}

TEST(ImageSize, Limits) {
  const uint64_t largest = uint64_t{512} << 48;
  EXPECT_FALSE(image_size_problem(ImageKind::kDisk, largest));
  EXPECT_THAT(image_size_problem(ImageKind::kDisk, largest + 512).value(),
              HasSubstr("larger than an ATA disk"));
  EXPECT_THAT(image_size_problem(ImageKind::kCdrom, (uint64_t{2048} << 32) + 2048).value(),
              HasSubstr("larger"));
}

TEST_F(ImageTest, AllFloppySizesOpen) {
  for (const uint64_t size :
       {163840, 184320, 327680, 368640, 737280, 1228800, 1474560, 1720320, 1763328, 2949120}) {
    EXPECT_NE(open(make_file("f" + std::to_string(size), size), ImageKind::kFloppy), nullptr) << size;
  }
}

TEST_F(ImageTest, ContainersAndCompressedFilesAreNamed) {
  EXPECT_THAT(failure(make_file("q", 65536, "QFI\xfb"), ImageKind::kDisk), HasSubstr("qcow"));
  EXPECT_THAT(failure(make_file("v", 65536, "KDMV"), ImageKind::kDisk), HasSubstr("VMDK"));
  EXPECT_THAT(failure(make_file("g", 1474560, "\x1f\x8b\x08"), ImageKind::kFloppy), HasSubstr("gzip"));
  EXPECT_THAT(failure(make_file("x", 2048 * 20, std::string("\xfd\x37zXZ\0", 6)), ImageKind::kCdrom),
              HasSubstr("xz"));
  const std::string sync = std::string("\0", 1) + std::string(10, '\xff') + std::string("\0", 1);
  EXPECT_THAT(failure(make_file("bin", 2352 * 128, sync), ImageKind::kCdrom), HasSubstr("2352"));
}

std::string partitioned(uint32_t start, uint32_t sectors, uint8_t type = 0x83) {
  std::string boot(512, '\0');
  boot[446 + 4] = static_cast<char>(type);
  for (int i = 0; i < 4; ++i) {
    boot[static_cast<size_t>(446 + 8 + i)] = static_cast<char>(start >> (8 * i));
    boot[static_cast<size_t>(446 + 12 + i)] = static_cast<char>(sectors >> (8 * i));
  }
  boot[510] = 0x55;
  boot[511] = static_cast<char>(0xaa);
  return boot;
}

TEST_F(ImageTest, DisksCutOff) {
  EXPECT_THAT(failure(make_file("cut", 1 << 20, partitioned(2048, 1 << 20)), ImageKind::kDisk),
              HasSubstr("cut off"));
  EXPECT_NE(open(make_file("whole", 2 << 20, partitioned(2048, 2048)), ImageKind::kDisk), nullptr);
  EXPECT_NE(open(make_file("late", 2 << 20, partitioned(63, 8000)), ImageKind::kDisk), nullptr)
      << "the last cylinder may be missing";
  EXPECT_NE(open(make_file("gpt", 2 << 20, partitioned(1, 0xffffffff, 0xee)), ImageKind::kDisk), nullptr);
}

TEST_F(ImageTest, CdsCutOff) {
  std::string image(2048 * 17, '\0');
  std::memcpy(&image[2048 * 16], "\1CD001\1", 7);
  image[2048 * 16 + 81] = 4;  // 1024 sectors
  image[2048 * 16 + 129] = 8;
  EXPECT_THAT(failure(make_file("cut", 2048 * 500, image), ImageKind::kCdrom), HasSubstr("cut off"));
  EXPECT_NE(open(make_file("whole", 2048 * 1024, image), ImageKind::kCdrom), nullptr);
}

TEST_F(ImageTest, ReadOnlyFiles) {
  const std::string file = make_file("disk", 4096);
  ::chmod(file.c_str(), 0444);
  const std::string text = failure(file, ImageKind::kDisk);  // also for root
  EXPECT_THAT(text, HasSubstr("chmod"));
  EXPECT_THAT(text, HasSubstr("--snapshot"));
  EXPECT_TRUE(fill(*open(file, ImageKind::kDisk, {.snapshot = true}), 0, 512, 1));
  EXPECT_TRUE(open(file, ImageKind::kDisk, {.read_only = true})->read_only());
}

TEST_F(ImageTest, FilesOfOthers) {
  const std::string file = make_file("disk", 4096);
  const bool is_root = ::geteuid() == 0;
  if (is_root) {
    // As somebody whom permissions bind; the file stays root's.
    constexpr uid_t kNobody = 65534;
    ::chmod(folder_.c_str(), 0755);
    ASSERT_EQ(::seteuid(kNobody), 0);
    EXPECT_THAT(failure(file, ImageKind::kDisk), HasSubstr("--snapshot"));
    ASSERT_EQ(::seteuid(0), 0);
    ::chmod(file.c_str(), 0600);
    ASSERT_EQ(::seteuid(kNobody), 0);
  } else {
    ::chmod(file.c_str(), 0);
  }
  EXPECT_THAT(failure(file, ImageKind::kCdrom), HasSubstr("may not read"));
  if (is_root) {
    ASSERT_EQ(::seteuid(0), 0);
  }
}

TEST_F(ImageTest, ReadOnlyBackendRefusesWrites) {
  const std::string file = make_file("disk", 4096);
  auto disk = open(file, ImageKind::kDisk, {.read_only = true});
  EXPECT_FALSE(fill(*disk, 0, 512, 0xff));
  EXPECT_TRUE(open(make_file("cd", 4096), ImageKind::kCdrom)->read_only());
}

TEST_F(ImageTest, OneWriterOrManyReaders) {
  const std::string file = make_file("disk", 4096);
  {
    auto writer = open(file, ImageKind::kDisk);
    EXPECT_THAT(failure(file, ImageKind::kDisk), HasSubstr("in use"));
    EXPECT_THAT(failure(file, ImageKind::kDisk, {.snapshot = true}), HasSubstr("in use"));
    EXPECT_THAT(failure(file, ImageKind::kCdrom), HasSubstr("in use"));
  }
  auto first = open(file, ImageKind::kDisk, {.snapshot = true});
  auto second = open(file, ImageKind::kDisk, {.read_only = true});
  EXPECT_NE(second, nullptr);
  EXPECT_THAT(failure(file, ImageKind::kDisk), HasSubstr("in use"));
}

TEST_F(ImageTest, FailuresChangeNothing) {
  const std::string file = make_file("disk", 1000, "text");
  const auto before = std::filesystem::last_write_time(file);
  failure(file, ImageKind::kDisk);
  failure(file, ImageKind::kFloppy);
  failure(file, ImageKind::kDisk, {.snapshot = true});
  EXPECT_EQ(contents(file).size(), 1000u);
  EXPECT_EQ(std::filesystem::last_write_time(file), before);
}

TEST_F(ImageTest, SnapshotKeepsWritesAwayFromTheFile) {
  const std::string file = make_file("disk", 20 * 1024 + 512, std::string(20 * 1024 + 512, 'a'));
  const std::string before = contents(file);
  {
    auto disk = open(file, ImageKind::kDisk, {.snapshot = true});
    EXPECT_FALSE(disk->read_only());
    EXPECT_TRUE(fill(*disk, 4096 - 512, 1024, 'b'));  // two pages, part of each
    EXPECT_TRUE(fill(*disk, 20 * 1024, 512, 'c'));    // the short last page
    EXPECT_TRUE(fill(*disk, 8192, 4096, 'd'));        // a whole page
    EXPECT_TRUE(fill(*disk, 8192 + 512, 512, 'e'));   // again
    EXPECT_TRUE(disk->flush());
    const auto all = read(*disk, 0, disk->size());
    std::string expected(20 * 1024 + 512, 'a');
    expected.replace(4096 - 512, 1024, 1024, 'b');
    expected.replace(20 * 1024, 512, 512, 'c');
    expected.replace(8192, 4096, 4096, 'd');
    expected.replace(8192 + 512, 512, 512, 'e');
    EXPECT_EQ(std::string(all.begin(), all.end()), expected);
  }
  EXPECT_EQ(contents(file), before);
}

TEST_F(ImageTest, FileThatShrinksIsAReadErrorNotACrash) {
  const std::string file = make_file("disk", 1 << 20);
  auto disk = open(file, ImageKind::kDisk);
  std::filesystem::resize_file(file, 4096);
  std::vector<uint8_t> bytes(512);
  ::testing::internal::CaptureStderr();
  EXPECT_FALSE(disk->read(8192, bytes));
  EXPECT_FALSE(disk->read(8192, bytes));
  const std::string said = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(said, HasSubstr("shorter"));
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << "said once";
  EXPECT_TRUE(disk->read(0, bytes));
}

}  // namespace
}  // namespace vireo
