#include "hwassist/kvm_calls.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

namespace vireo::hwassist {

int KvmCalls::open_device() {
  return open("/dev/kvm", O_RDWR | O_CLOEXEC);
}

int KvmCalls::call(int fd, const KvmRequest& request, uintptr_t argument) {
  return ioctl(fd, request.number, argument);
}

namespace {

struct Failure {
  std::string name;
  uint64_t from = 0;  ///< counted from 1
  bool lasting = false, hangs = false;
  uint64_t calls = 0;
};

class FailingCalls final : public KvmCalls {
 public:
  explicit FailingCalls(std::vector<Failure> failures) : failures_(std::move(failures)) {}

  int call(int fd, const KvmRequest& request, uintptr_t argument) override {
    for (Failure& f : failures_) {
      if (f.name != request.name) continue;
      ++f.calls;
      if (f.calls != f.from && !(f.lasting && f.calls > f.from)) continue;
      while (f.hangs) pause();
      errno = EIO;
      return -1;
    }
    return KvmCalls::call(fd, request, argument);
  }

 private:
  std::vector<Failure> failures_;
};

}  // namespace

Result<std::unique_ptr<KvmCalls>> make_kvm_calls(std::string_view words) {
  std::vector<Failure> failures;
  while (!words.empty()) {
    const std::string_view word = words.substr(0, words.find(','));
    words.remove_prefix(std::min(words.size(), word.size() + 1));
    const size_t at = word.find('@');
    Failure f{.name = std::string(word.substr(0, at)),
              .lasting = word.ends_with('+'),
              .hangs = word.ends_with('!')};
    const char* end = word.data() + word.size() - (f.lasting || f.hangs ? 1 : 0);
    const bool has_number = at != std::string_view::npos;
    const auto parsed = has_number ? std::from_chars(word.data() + at + 1, end, f.from)
                                   : std::from_chars_result{word.data(), std::errc::invalid_argument};
    if (parsed.ec != std::errc{} || parsed.ptr != end || f.from == 0 || !f.name.starts_with("KVM_")) {
      return Error{
          fmt::format(
              "--hw {}: say which call of KVM is to fail, as in KVM_RUN@100, KVM_RUN@100+ (from then on) or "
              "KVM_RUN@100! (does not come back)",
              word),
          ExitStatus::kUsage};
    }
    failures.push_back(std::move(f));
  }
  if (failures.empty()) return std::make_unique<KvmCalls>();
  return std::unique_ptr<KvmCalls>(std::make_unique<FailingCalls>(std::move(failures)));
}

Error kvm_error(const KvmRequest& request) {
  return Error{fmt::format("{} failed: {}", request.name, std::strerror(errno)), ExitStatus::kHostCannot};
}

}  // namespace vireo::hwassist
