// Memory for translated code, mapped writable here and executable there; nothing is ever both.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/result.h"

namespace vireo::translator {

class CodeBuffer {
 public:
  /// `bytes` is a multiple of the page size. Fails when the host has no memory or forbids executable memory.
  static Result<std::unique_ptr<CodeBuffer>> create(uint64_t bytes);
  ~CodeBuffer();
  CodeBuffer(const CodeBuffer&) = delete;
  CodeBuffer& operator=(const CodeBuffer&) = delete;

  const uint8_t* executable() const { return executable_; }
  uint64_t bytes() const { return bytes_; }
  bool contains(uint64_t host_address) const {
    return host_address - reinterpret_cast<uint64_t>(executable_) < bytes_;
  }
  /// The writable alias of an executable address.
  uint8_t* writable(const uint8_t* executable) { return writable_ + (executable - executable_); }

  void write(const uint8_t* executable, std::span<const uint8_t> code);
  /// Sets the 32-bit operand at `place` so that a relative jump or call reaches `target`.
  void patch_relative(const uint8_t* place, const uint8_t* target);
  void patch_value(const uint8_t* place, uint32_t value);
  /// Sets the 64-bit host address at `place`.
  void patch_address(const uint8_t* place, const uint8_t* target);

 private:
  CodeBuffer(uint8_t* writable, const uint8_t* executable, uint64_t bytes)
      : writable_(writable), executable_(executable), bytes_(bytes) {}

  uint8_t* writable_;
  const uint8_t* executable_;
  uint64_t bytes_;
};

}  // namespace vireo::translator
