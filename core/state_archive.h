// State archive: one `state(StateArchive&)` function per component serves save and load.
//
//   void Pit8254::state(StateArchive& ar) {
//     ar.field("latch", latch_);
//     ar.fields("channel", channels_);        // array or vector of things that have state()
//   }
//
// The caller wraps each component in `ar.section(name, version, ...)`. Fields are found by name when loading,
// so their order may change; a missing field or a section of another version is a StateError.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace vireo {

class StateArchive;

/// Saved state that cannot be loaded (damaged, or of another version).
struct StateError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class T>
concept HasState = requires(T& t, StateArchive& ar) {
  t.state(ar);
};

template <class T>
concept PlainState = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;

class StateArchive {
 public:
  /// An archive to save into.
  StateArchive() = default;
  /// An archive to load from: `bytes` is what `bytes()` gave. Throws StateError if damaged.
  explicit StateArchive(std::span<const uint8_t> bytes);

  bool loading() const { return loading_; }

  /// Runs `body` with field names prefixed by `name`. Throws StateError when loading a section that is
  /// missing or has another version.
  void section(std::string_view name, uint32_t version, const std::function<void(StateArchive&)>& body);

  template <class T>
  requires PlainState<T> &&(!HasState<T>)void field(std::string_view name, T& value) {
    raw(name, std::span(reinterpret_cast<uint8_t*>(&value), sizeof value));
  }
  void field(std::string_view name, std::string& value) { resizable(name, value); }
  template <PlainState T>
  void field(std::string_view name, std::vector<T>& value) {
    resizable(name, value);
  }
  template <PlainState T>
  void field(std::string_view name, std::deque<T>& value) {
    std::vector<T> copy(value.begin(), value.end());
    resizable(name, copy);
    if (loading_) value.assign(copy.begin(), copy.end());
  }
  template <HasState T>
  void field(std::string_view name, T& value) {
    nested(name, [&] { value.state(*this); });
  }
  /// Each element of a fixed-size array of things that have state().
  template <class Range>
  void fields(std::string_view name, Range& range) {
    size_t i = 0;
    for (auto& element : range) field(std::string(name) + "." + std::to_string(i++), element);
  }
  /// A fixed block of bytes.
  void raw(std::string_view name, std::span<uint8_t> bytes);

  /// The saved bytes; the same state always gives the same bytes (fields are kept sorted by name).
  std::vector<uint8_t> bytes() const;

 private:
  void nested(std::string_view name, const std::function<void()>& body);
  std::vector<uint8_t>& slot(std::string_view name);

  template <class Container>
  void resizable(std::string_view name, Container& value) {
    using T = typename Container::value_type;
    uint64_t count = value.size();
    field(std::string(name) + "#", count);
    if (loading_) {
      check_count(name, count, sizeof(T));
      value.resize(count);
    }
    raw(name, std::span(reinterpret_cast<uint8_t*>(value.data()), count * sizeof(T)));
  }
  void check_count(std::string_view name, uint64_t count, size_t element_size);

  bool loading_ = false;
  std::string prefix_;
  std::map<std::string, std::vector<uint8_t>, std::less<>> fields_;
};

}  // namespace vireo
