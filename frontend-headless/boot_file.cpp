#include "frontend-headless/boot_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vireo {

namespace {

/// More than any kernel or initramfs; keeps a wrong file (a disk image, /dev/zero) from filling memory.
constexpr size_t kMaxBootFileBytes = size_t{1} << 30;

}  // namespace

Result<std::vector<uint8_t>> read_boot_file(const std::string& path, std::string_view what) {
  const auto fail = [&](std::string_view why) -> Error {
    return {fmt::format("{} '{}': {}", what, path, why)};
  };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return fail(std::strerror(errno));
  struct stat info {};
  std::vector<uint8_t> bytes;
  std::string why;
  if (fstat(fd, &info) != 0) {
    why = std::strerror(errno);
  } else if (S_ISDIR(info.st_mode)) {
    why = "is a directory; give the file itself";
  } else if (!S_ISREG(info.st_mode)) {
    why = "is not a regular file";
  } else if (info.st_size == 0) {
    why = "is empty";
  } else if (static_cast<uint64_t>(info.st_size) > kMaxBootFileBytes) {
    why = "is larger than 1 GiB, which no kernel or initramfs is";
  } else {
    bytes.resize(static_cast<size_t>(info.st_size));
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = ::read(fd, bytes.data() + done, bytes.size() - done);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        why = n < 0 ? std::strerror(errno) : "became shorter while it was read";
        break;
      }
      done += static_cast<size_t>(n);
    }
  }
  close(fd);
  if (!why.empty()) return fail(why);
  return bytes;
}

}  // namespace vireo
