#include "devices/backends/char_backend.h"

#include <fmt/format.h>

#include "devices/backends/char_openers.h"

namespace vireo {

namespace {

class NoneChar final : public HostCharBackend {
 public:
  void write(std::span<const uint8_t>) override {}
  bool read(uint8_t&) override { return false; }
};

}  // namespace

Result<std::unique_ptr<HostCharBackend>> open_char_backend(std::string_view spec) {
  if (spec == "none") return std::unique_ptr<HostCharBackend>(std::make_unique<NoneChar>());
  if (spec == "stdio") return open_stdio();
  if (spec == "pty") return open_pty();
  if (spec.starts_with("file:")) return open_file(spec.substr(5));
  if (spec.starts_with("tcp:")) return open_tcp(spec.substr(4));
  return Error{fmt::format(
      "'{}' is not a place for a serial line; use stdio, none, file:PATH, tcp:HOST:PORT[,server] or pty",
      spec)};
}

}  // namespace vireo
