// Result<T>: a value or an Error with one sentence for the user. For failures of the host's environment only:
// bugs are CHECKs, guest misbehaviour is architectural.
#pragma once

#include <string>
#include <utility>
#include <variant>

#include "core/types.h"

namespace vireo {

/// Something the user or the host must put right.
struct Error {
  std::string message;  ///< one sentence: what is wrong, on which object, what to do
  ExitStatus status = ExitStatus::kUsage;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::move(value)) {}
  Result(Error error) : content_(std::move(error)) {}

  bool ok() const { return std::holds_alternative<T>(content_); }
  explicit operator bool() const { return ok(); }
  T& value() { return std::get<T>(content_); }
  const T& value() const { return std::get<T>(content_); }
  T&& take() { return std::get<T>(std::move(content_)); }
  const Error& error() const { return std::get<Error>(content_); }

 private:
  std::variant<T, Error> content_;
};

/// Result of an operation that returns nothing.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)), ok_(false) {}

  bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const Error& error() const { return error_; }

 private:
  Error error_;
  bool ok_ = true;
};

}  // namespace vireo
