#include "devices/backends/image_check.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "devices/floppy_format.h"

namespace vireo {

namespace {

constexpr uint64_t kSectorBytes = 512;
constexpr uint64_t kCdSectorBytes = 2048;
constexpr uint64_t kMaxDiskSectors = uint64_t{1} << 48;  // ATA/ATAPI-6, 48-bit addresses
constexpr uint64_t kMaxCdSectors = uint64_t{1} << 32;    // READ CAPACITY

std::string floppy_sizes() {
  std::string names;
  for (const FloppyFormat& format : kFloppyFormats) {
    names += fmt::format("{}{} ({} bytes)", names.empty() ? "" : ", ", format.name, format.bytes());
  }
  return names;
}

uint32_t le32(const uint8_t* p) {
  return p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24;
}

struct Magic {
  size_t offset;
  std::string_view bytes;
  const char* what;
  bool compressed;
};

using std::literals::operator""sv;
constexpr std::array kMagics = {
    Magic{0, "QFI\xfb"sv, "a QEMU qcow image", false},
    Magic{0, "QED\0"sv, "a QEMU QED image", false},
    Magic{0, "KDMV"sv, "a VMware VMDK image", false},
    Magic{0, "# Disk DescriptorFile"sv, "a VMware VMDK description", false},
    Magic{0x40, "\x7f\x10\xda\xbe"sv, "a VirtualBox VDI image", false},
    Magic{0, "conectix"sv, "a dynamic VHD image", false},
    Magic{0, "vhdxfile"sv, "a VHDX image", false},
    Magic{0, "WithoutFreeSpace"sv, "a Parallels image", false},
    Magic{0, "\x1f\x8b\x08"sv, "compressed with gzip", true},
    Magic{0, "BZh"sv, "compressed with bzip2", true},
    Magic{0,
          "\xfd"
          "7zXZ\0"sv,
          "compressed with xz", true},
    Magic{0, "\x28\xb5\x2f\xfd"sv, "compressed with zstd", true},
    Magic{0, "PK\x03\x04"sv, "a ZIP archive", true},
    Magic{0, "7z\xbc\xaf\x27\x1c"sv, "a 7-Zip archive", true},
};

std::optional<std::string> container_problem(ImageKind kind, std::span<const uint8_t> head) {
  for (const Magic& magic : kMagics) {
    if (head.size() < magic.offset + magic.bytes.size()) continue;
    if (std::memcmp(head.data() + magic.offset, magic.bytes.data(), magic.bytes.size()) != 0) continue;
    if (magic.compressed) return fmt::format("this is {}; unpack it first", magic.what);
    return fmt::format("this is {}, not a raw one; convert it first (qemu-img convert -O raw)", magic.what);
  }
  static constexpr std::array<uint8_t, 12> kCdSync = {0,    0xff, 0xff, 0xff, 0xff, 0xff,
                                                      0xff, 0xff, 0xff, 0xff, 0xff, 0};
  if (kind == ImageKind::kCdrom && head.size() >= kCdSync.size() &&
      std::memcmp(head.data(), kCdSync.data(), kCdSync.size()) == 0) {
    return "this is a raw CD image with 2352-byte sectors (.bin); convert it to ISO first (bchunk or "
           "bin2iso)";
  }
  return std::nullopt;
}

/// A boot sector whose partition table is one: every entry is empty or plausible.
std::optional<uint64_t> partitioned_sectors(std::span<const uint8_t> head) {
  if (head.size() < kSectorBytes || head[510] != 0x55 || head[511] != 0xaa) return std::nullopt;
  const bool has_bpb =
      (head[0] == 0xeb || head[0] == 0xe9) && head[11] == 0 && head[12] == 2 && head[13] != 0;
  if (has_bpb) return std::nullopt;
  uint64_t end = 0;
  for (size_t i = 0; i < 4; ++i) {
    const uint8_t* entry = head.data() + 446 + 16 * i;
    const uint64_t start = le32(entry + 8);
    const uint64_t count = le32(entry + 12);
    if ((entry[0] & 0x7f) != 0) return std::nullopt;
    if (entry[4] == 0) {
      if (count != 0) return std::nullopt;
      continue;
    }
    if (start == 0 || count == 0) return std::nullopt;
    if (entry[4] == 0xee) return std::nullopt;  // protective: its size says nothing
    end = std::max(end, start + count);
  }
  return end;
}

std::optional<std::string> cut_off_disk_problem(uint64_t size, std::span<const uint8_t> head) {
  // Partitions of old disks may end up to a cylinder late; 255 heads of 63 sectors is the largest.
  constexpr uint64_t kSlackSectors = 255 * 63;
  const std::optional<uint64_t> end = partitioned_sectors(head);
  if (!end || *end <= size / kSectorBytes + kSlackSectors) return std::nullopt;
  return fmt::format(
      "the image is cut off: its partitions reach to byte {}, but the file ends at {}; get the whole file "
      "(or, to use "
      "what is there, lengthen it with truncate -s {})",
      *end * kSectorBytes, size, *end * kSectorBytes);
}

std::optional<std::string> cut_off_cd_problem(uint64_t size, const ImageReader& read) {
  constexpr uint64_t kDescriptorOffset = 16 * kCdSectorBytes;  // ECMA-119, 6.7.1
  constexpr uint64_t kSlackSectors = 150;  // run-out padding that copies of real discs often lack
  if (size < kDescriptorOffset + kCdSectorBytes) return std::nullopt;
  std::array<uint8_t, 132> descriptor;
  if (!read(kDescriptorOffset, descriptor)) return std::nullopt;
  if (descriptor[0] != 1 || std::memcmp(descriptor.data() + 1, "CD001", 5) != 0) return std::nullopt;
  const uint64_t sectors = le32(descriptor.data() + 80);
  const uint64_t block_bytes = descriptor[128] | descriptor[129] << 8;
  if (block_bytes != kCdSectorBytes || sectors <= size / kCdSectorBytes + kSlackSectors) return std::nullopt;
  return fmt::format(
      "the image is cut off: its file system has {} bytes, but the file {}; get the whole file",
      sectors * kCdSectorBytes, size);
}

}  // namespace

std::optional<std::string> image_size_problem(ImageKind kind, uint64_t size) {
  if (size == 0) return "the image is empty";
  switch (kind) {
    case ImageKind::kDisk:
      if (size % kSectorBytes != 0) {
        return fmt::format(
            "the size of {} bytes is not a multiple of 512; the image is cut off, or not a raw disk", size);
      }
      if (size / kSectorBytes > kMaxDiskSectors) {
        return fmt::format(
            "the image of {} bytes is larger than an ATA disk can be (2^48 sectors of 512 bytes)", size);
      }
      return std::nullopt;
    case ImageKind::kFloppy:
      if (floppy_format_of_size(size)) return std::nullopt;
      if (size > kFloppyFormats.back().bytes()) {
        return fmt::format(
            "the image of {} bytes is larger than the largest diskette (2.88M, {} bytes); is it a disk "
            "or a CD-ROM?",
            size, kFloppyFormats.back().bytes());
      }
      return fmt::format("no diskette has {} bytes; known are {}", size, floppy_sizes());
    case ImageKind::kCdrom:
      if (size % kCdSectorBytes != 0) {
        return fmt::format(
            "the size of {} bytes is not a multiple of 2048; the image is cut off, or not an ISO image",
            size);
      }
      if (size / kCdSectorBytes > kMaxCdSectors) {
        return fmt::format("the image of {} bytes is larger than a CD-ROM drive can tell (2^32 sectors)",
                           size);
      }
      return std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::string> image_content_problem(ImageKind kind, uint64_t size, const ImageReader& read) {
  std::vector<uint8_t> head(std::min<uint64_t>(size, kSectorBytes));
  if (!read(0, head)) return std::nullopt;
  if (auto problem = container_problem(kind, head)) return problem;
  if (kind == ImageKind::kDisk) return cut_off_disk_problem(size, head);
  if (kind == ImageKind::kCdrom) return cut_off_cd_problem(size, read);
  return std::nullopt;
}

}  // namespace vireo
