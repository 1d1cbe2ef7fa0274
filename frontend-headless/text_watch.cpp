#include "frontend-headless/text_watch.h"

#include <fmt/format.h>

namespace vireo {

namespace {

/// How much serial output is kept for matching; std::regex recurses, so much more could exhaust the stack.
constexpr size_t kKeptBytes = 16 * 1024;

}  // namespace

Result<std::regex> compile_regex(std::string_view option, const std::string& pattern) {
  try {
    return std::regex(pattern, std::regex::ECMAScript | std::regex::optimize);
  } catch (const std::regex_error& error) {
    return Error{fmt::format("{} '{}': not a regular expression ({})", option, pattern, error.what())};
  }
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    switch (text[++i]) {
      case 'n':
        out.push_back('\n');
        break;
      case 't':
        out.push_back('\t');
        break;
      case 'b':
        out.push_back('\b');
        break;
      case 'e':
        out.push_back('\x1b');
        break;
      case '\\':
        out.push_back('\\');
        break;
      default:
        out.push_back('\\');
        out.push_back(text[i]);
    }
  }
  return out;
}

void WatchedLine::write(std::span<const uint8_t> bytes) {
  if (inner_ != nullptr) inner_->write(bytes);
  text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text_.size() > 2 * kKeptBytes) text_.erase(0, text_.size() - kKeptBytes);
  written_ += bytes.size();
}

bool TextWatch::matches(const std::regex& regex) const {
  if (std::regex_search(screen_, regex)) return true;
  for (const WatchedLine* line : lines_) {
    const std::string& text = line->text();
    const size_t start = text.size() > kKeptBytes ? text.size() - kKeptBytes : 0;
    if (std::regex_search(text.begin() + static_cast<ptrdiff_t>(start), text.end(), regex)) return true;
  }
  return false;
}

bool TextWatch::poll(VideoSource& video, Typist& typist, VirtualNs now) {
  typist.poll(now);
  if (!until_ && next_sending_ == sendings_.size()) return false;

  uint64_t written = 0;
  for (const WatchedLine* line : lines_) written += line->written();
  std::string screen = video.text_screen().to_utf8();
  if (screen.size() > kKeptBytes) screen.resize(kKeptBytes);
  const bool changed = written != seen_written_ || screen != screen_;
  seen_written_ = written;
  screen_ = std::move(screen);

  if (changed && until_ && matches(*until_)) return true;
  if (next_sending_ < sendings_.size() && typist.idle()) {
    const Sending& sending = sendings_[next_sending_];
    if (!sending.when || matches(*sending.when)) {
      typist.type(sending.text);
      ++next_sending_;
      for (WatchedLine* line : lines_) line->forget();
      seen_written_ = ~uint64_t{0};
    }
  }
  return false;
}

}  // namespace vireo
