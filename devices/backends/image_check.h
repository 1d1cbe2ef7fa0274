// Is this file what it is given as? Checks of a raw image's size and first bytes, without touching the host.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "devices/backends/image.h"

namespace vireo {

/// What is wrong with an image of `size` bytes, or nothing. The sentence starts where "PATH: " ends.
std::optional<std::string> image_size_problem(ImageKind kind, uint64_t size);

/// Likewise for its contents. `read` gives bytes at an offset that exist (false: host error, then that check
/// is passed over; the guest will hear of it).
using ImageReader = std::function<bool(uint64_t offset, std::span<uint8_t> out)>;
std::optional<std::string> image_content_problem(ImageKind kind, uint64_t size, const ImageReader& read);

}  // namespace vireo
