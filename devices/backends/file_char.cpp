// A file that takes what the guest sends.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "devices/backends/char_openers.h"
#include "devices/backends/raw_file.h"
#include "devices/backends/stream_output.h"

namespace vireo {

namespace {

class FileChar final : public HostCharBackend {
 public:
  FileChar(FileDescriptor fd, std::string path)
      : fd_(std::move(fd)), path_(std::move(path)), output_(fd_.get(), path_) {}
  Result<void> start() override;
  void write(std::span<const uint8_t> bytes) override { output_.write(bytes); }
  bool read(uint8_t&) override { return false; }

 private:
  FileDescriptor fd_;
  std::string path_;
  StreamOutput output_;
};

Result<void> FileChar::start() {
  struct stat info;
  if (::fstat(fd_.get(), &info) == 0 && S_ISREG(info.st_mode) && ::ftruncate(fd_.get(), 0) != 0) {
    return Error{fmt::format("{}: cannot empty the file: {}", path_, std::strerror(errno))};
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<HostCharBackend>> open_file(std::string_view path_view) {
  const std::string path(path_view);
  if (path.empty()) return Error{"file: the path is missing; write file:PATH"};
  FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666));
  if (!fd.valid()) {
    return Error{fmt::format("{}: cannot open for the guest's output: {}", path,
                             errno == ENXIO ? "this is a pipe that nobody reads" : std::strerror(errno))};
  }
  struct stat info;
  if (::fstat(fd.get(), &info) != 0) return Error{fmt::format("{}: {}", path, std::strerror(errno))};
  if (S_ISREG(info.st_mode)) {
    // The lock keeps a typing error from emptying an image that a drive has open, and two guests from one
    // log.
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0 && (errno == EAGAIN || errno == EACCES)) {
      return Error{fmt::format(
          "{}: the file is in use by a drive or another emulator; give the guest's output another "
          "file",
          path)};
    }
  }
  return std::unique_ptr<HostCharBackend>(std::make_unique<FileChar>(std::move(fd), path));
}

}  // namespace vireo
