// Files that a guest is booted from without a disk.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace vireo {

/// A kernel, an initramfs or the like as a whole. The Error starts with `what`: "kernel 'FILE': is empty".
Result<std::vector<uint8_t>> read_boot_file(const std::string& path, std::string_view what);

}  // namespace vireo
