#include "core/interp/thunk_arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "core/check.h"

namespace vireo::interp {

ThunkArena::ThunkArena() {
  const int fd = memfd_create("vireo-thunks", MFD_CLOEXEC);
  CHECK(fd >= 0 && ftruncate(fd, kBytes) == 0);
  void* writable = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  void* executable = mmap(nullptr, kBytes, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_NORESERVE, fd, 0);
  CHECK(writable != MAP_FAILED && executable != MAP_FAILED);
  close(fd);
  writable_ = static_cast<uint8_t*>(writable);
  executable_ = static_cast<const uint8_t*>(executable);
}

const uint8_t* ThunkArena::add(std::span<const uint8_t> code) {
  used_ = (used_ + 15) & ~size_t{15};
  CHECK(code.size() <= kBytes - used_);
  std::memcpy(writable_ + used_, code.data(), code.size());
  const uint8_t* entry = executable_ + used_;
  used_ += code.size();
  return entry;
}

}  // namespace vireo::interp
