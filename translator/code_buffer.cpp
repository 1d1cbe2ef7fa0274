#include "translator/code_buffer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace vireo::translator {

Result<std::unique_ptr<CodeBuffer>> CodeBuffer::create(uint64_t bytes) {
  const auto failure = [](std::string_view what) {
    return Error{
        fmt::format("the translator's code cache: {}: {}; use --engine interp", what, std::strerror(errno)),
        ExitStatus::kHostCannot};
  };
  // Shared anonymous memory, not a memfd: perf looks into its map (--perf-map) for memory without a name
  // alone.
  void* writable = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (writable == MAP_FAILED) return failure("no memory");
  // Old size 0: a second mapping of the same memory.
  void* executable = mremap(writable, 0, bytes, MREMAP_MAYMOVE);
  if (executable == MAP_FAILED || mprotect(executable, bytes, PROT_READ | PROT_EXEC) != 0) {
    const Error error = failure("cannot map it executable");
    munmap(writable, bytes);
    if (executable != MAP_FAILED) munmap(executable, bytes);
    return error;
  }
  return std::unique_ptr<CodeBuffer>(
      new CodeBuffer(static_cast<uint8_t*>(writable), static_cast<const uint8_t*>(executable), bytes));
}

CodeBuffer::~CodeBuffer() {
  munmap(writable_, bytes_);
  munmap(const_cast<uint8_t*>(executable_), bytes_);
}

void CodeBuffer::write(const uint8_t* executable, std::span<const uint8_t> code) {
  std::memcpy(writable(executable), code.data(), code.size());
}

void CodeBuffer::patch_relative(const uint8_t* place, const uint8_t* target) {
  patch_value(place, static_cast<uint32_t>(target - (place + 4)));
}

void CodeBuffer::patch_address(const uint8_t* place, const uint8_t* target) {
  std::memcpy(writable(place), &target, sizeof target);
}

void CodeBuffer::patch_value(const uint8_t* place, uint32_t value) {
  std::memcpy(writable(place), &value, sizeof value);
}

}  // namespace vireo::translator
