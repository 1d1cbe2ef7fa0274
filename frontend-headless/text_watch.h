// What the guest has printed on its serial lines and shows on its text screen, and what waits for it.
#pragma once

#include <optional>
#include <regex>
#include <span>
#include <string>
#include <vector>

#include "core/host_io.h"
#include "core/machine/typist.h"
#include "core/result.h"

namespace vireo {

/// An ECMAScript regular expression; `.` does not match a line's end. An invalid one is an Error that names
/// `option`.
Result<std::regex> compile_regex(std::string_view option, const std::string& pattern);

/// Replaces \n \t \b \e \\ by what they stand for.
std::string unescape(std::string_view text);

/// A serial line that also keeps the last of what the guest sent, for matching. Forwards to `inner` if there
/// is one.
class WatchedLine final : public CharBackend {
 public:
  explicit WatchedLine(CharBackend* inner) : inner_(inner) {
    if (inner_ != nullptr) inner_->set_input_hook([this] { input_arrived(); });
  }
  void write(std::span<const uint8_t> bytes) override;
  bool read(uint8_t& byte) override { return inner_ != nullptr && inner_->read(byte); }

  const std::string& text() const { return text_; }
  /// Bytes ever written; grows when text() has changed.
  uint64_t written() const { return written_; }
  /// Old output that has been answered must not match again.
  void forget() { text_.clear(); }

 private:
  CharBackend* inner_;
  std::string text_;
  uint64_t written_ = 0;
};

/// Looks for --until-text and feeds --send-text to the keyboard.
class TextWatch {
 public:
  struct Sending {
    std::optional<std::regex> when;
    std::string text;  ///< unescaped
  };

  TextWatch(std::optional<std::regex> until, std::vector<Sending> sendings, std::vector<WatchedLine*> lines)
      : until_(std::move(until)), sendings_(std::move(sendings)), lines_(std::move(lines)) {}

  /// Looks at everything that changed since the last call. True once the awaited text is there.
  bool poll(VideoSource& video, Typist& typist, VirtualNs now);

 private:
  bool matches(const std::regex& regex) const;

  std::optional<std::regex> until_;
  std::vector<Sending> sendings_;
  std::vector<WatchedLine*> lines_;
  size_t next_sending_ = 0;
  std::string screen_;
  uint64_t seen_written_ = ~uint64_t{0};
};

}  // namespace vireo
