// What open_char_backend() chooses from; one file each.
#pragma once

#include <memory>
#include <string_view>

#include "devices/backends/char_backend.h"

namespace vireo {

Result<std::unique_ptr<HostCharBackend>> open_stdio();
Result<std::unique_ptr<HostCharBackend>> open_file(std::string_view path);
/// `address` is HOST:PORT, with ",server" behind it to listen.
Result<std::unique_ptr<HostCharBackend>> open_tcp(std::string_view address);
Result<std::unique_ptr<HostCharBackend>> open_pty();

}  // namespace vireo
