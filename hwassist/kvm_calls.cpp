#include "hwassist/kvm_calls.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>
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
  uint64_t cannot_each = 0;  ///< of KVM_RUN, from `from` on: KVM cannot emulate an instruction; 0: it fails
  uint64_t slower_us = 0;    ///< from `from` on: it works, but takes so much longer
  uint64_t calls = 0;

  bool due() const {
    if (slower_us != 0) return calls >= from;
    if (cannot_each != 0) return calls >= from && (calls - from) % cannot_each == 0;
    return calls == from || (lasting && calls > from);
  }
};

/// "KVM_RUN@100", with what may be behind it.
std::optional<Failure> parse_failure(std::string_view word) {
  const size_t at = word.find('@');
  if (at == std::string_view::npos || !word.starts_with("KVM_")) return std::nullopt;
  Failure f{.name = std::string(word.substr(0, at))};
  const char* const end = word.data() + word.size();
  const auto number = [&](const char* from, uint64_t& value) {
    const auto [next, error] = std::from_chars(from, end, value);
    return error == std::errc{} && value != 0 ? next : nullptr;
  };
  const char* rest = number(word.data() + at + 1, f.from);
  if (rest == nullptr) return std::nullopt;
  if (rest != end) {
    const char sign = *rest++;
    f.lasting = sign == '+';
    f.hangs = sign == '!';
    if (sign == '~' && f.name == request::kRun.name) rest = number(rest, f.cannot_each);
    if (sign == '=') rest = number(rest, f.slower_us);
    if (!f.lasting && !f.hangs && f.cannot_each == 0 && f.slower_us == 0) return std::nullopt;
  }
  return rest == end ? std::optional(f) : std::nullopt;
}

class FailingCalls final : public KvmCalls {
 public:
  explicit FailingCalls(std::vector<Failure> failures) : failures_(std::move(failures)) {}

  int call(int fd, const KvmRequest& request, uintptr_t argument) override {
    for (Failure& f : failures_) {
      if (f.name != request.name) continue;
      ++f.calls;
      if (!f.due()) continue;
      if (f.slower_us != 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(f.slower_us));
        continue;
      }
      if (f.cannot_each != 0) return run_but_not_emulate(fd, argument);
      while (f.hangs) pause();
      errno = EIO;
      return -1;
    }
    return KvmCalls::call(fd, request, argument);
  }

  void set_run_page(kvm_run* page) override { page_ = page; }

 private:
  /// As KVM does where an instruction of its emulator's is the next: what is open is finished first.
  int run_but_not_emulate(int fd, uintptr_t argument) {
    const uint8_t at_once = std::exchange(page_->immediate_exit, 1);
    const int result = KvmCalls::call(fd, request::kRun, argument);
    page_->immediate_exit = at_once;
    if (result == 0 || errno != EINTR || at_once != 0) return result;
    page_->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    page_->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    return 0;
  }

  std::vector<Failure> failures_;
  kvm_run* page_ = nullptr;
};

}  // namespace

Result<std::unique_ptr<KvmCalls>> make_kvm_calls(std::string_view words) {
  std::vector<Failure> failures;
  while (!words.empty()) {
    const std::string_view word = words.substr(0, words.find(','));
    words.remove_prefix(std::min(words.size(), word.size() + 1));
    std::optional<Failure> failure = parse_failure(word);
    if (!failure) {
      return Error{
          fmt::format(
              "--hw {}: say which call of KVM is to fail, as in KVM_RUN@100, KVM_RUN@100+ (from then on), "
              "KVM_RUN@100! (does not come back), KVM_RUN@100~20 (from then on each 20th cannot emulate) or "
              "KVM_RUN@100=500 (from then on takes 500 us longer)",
              word),
          ExitStatus::kUsage};
    }
    failures.push_back(std::move(*failure));
  }
  if (failures.empty()) return std::make_unique<KvmCalls>();
  return std::unique_ptr<KvmCalls>(std::make_unique<FailingCalls>(std::move(failures)));
}

Error kvm_error(const KvmRequest& request) {
  return Error{fmt::format("{} failed: {}", request.name, std::strerror(errno)), ExitStatus::kHostCannot};
}

}  // namespace vireo::hwassist
