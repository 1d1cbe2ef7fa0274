#include "core/machine/direct_boot.h"

#include "core/machine/direct_boot_formats.h"

namespace vireo {

Result<DirectBootPlan> plan_direct_boot(DirectBootFiles files, uint64_t ram_bytes) {
  // Linux first: a bzImage may carry a Multiboot header, but its setup code does more.
  if (direct_boot::is_linux(files.kernel)) return direct_boot::plan_linux(std::move(files), ram_bytes);
  if (direct_boot::is_multiboot(files.kernel))
    return direct_boot::plan_multiboot(std::move(files), ram_bytes);
  if (files.kernel.size() >= 4 && std::memcmp(files.kernel.data(),
                                              "\x7f"
                                              "ELF",
                                              4) == 0) {
    return direct_boot::kernel_error(
        files, "this ELF file has no Multiboot header; of a Linux kernel give the bzImage, not vmlinux");
  }
  return direct_boot::kernel_error(files, "this is neither a Linux bzImage nor a Multiboot kernel");
}

}  // namespace vireo
