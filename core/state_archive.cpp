#include "core/state_archive.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace vireo {

namespace {

constexpr std::string_view kMagic = "VIREOST1";

void append_u32(std::vector<uint8_t>& out, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<uint8_t>(value >> shift));
}

/// Takes fields off the front of a byte string; throws StateError at its end.
class Reader {
 public:
  explicit Reader(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  bool at_end() const { return bytes_.empty(); }
  std::span<const uint8_t> take(size_t count) {
    if (count > bytes_.size()) throw StateError("the saved state is truncated");
    auto front = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return front;
  }
  uint32_t take_u32() {
    auto b = take(4);
    return b[0] | b[1] << 8 | b[2] << 16 | static_cast<uint32_t>(b[3]) << 24;
  }

 private:
  std::span<const uint8_t> bytes_;
};

}  // namespace

StateArchive::StateArchive(std::span<const uint8_t> bytes) : loading_(true) {
  Reader reader(bytes);
  auto magic = reader.take(kMagic.size());
  if (!std::equal(magic.begin(), magic.end(), kMagic.begin())) throw StateError("this is not a Vireo state");
  while (!reader.at_end()) {
    auto name = reader.take(reader.take_u32());
    auto content = reader.take(reader.take_u32());
    fields_[std::string(name.begin(), name.end())].assign(content.begin(), content.end());
  }
}

void StateArchive::section(std::string_view name, uint32_t version,
                           const std::function<void(StateArchive&)>& body) {
  nested(name, [&] {
    uint32_t saved_version = version;
    field("@version", saved_version);
    if (saved_version != version) {
      throw StateError("section " + prefix_ + " has version " + std::to_string(saved_version) +
                       ", expected " + std::to_string(version));
    }
    body(*this);
  });
}

void StateArchive::nested(std::string_view name, const std::function<void()>& body) {
  const size_t old_size = prefix_.size();
  prefix_.append(name).push_back('/');
  body();
  prefix_.resize(old_size);
}

std::vector<uint8_t>& StateArchive::slot(std::string_view name) {
  std::string key = prefix_ + std::string(name);
  if (loading_) {
    auto found = fields_.find(key);
    if (found == fields_.end()) throw StateError("the saved state has no field " + key);
    return found->second;
  }
  auto [entry, inserted] = fields_.try_emplace(std::move(key));
  CHECK(inserted);  // two fields of one component share a name
  return entry->second;
}

void StateArchive::raw(std::string_view name, std::span<uint8_t> bytes) {
  std::vector<uint8_t>& content = slot(name);
  if (!loading_) {
    content.assign(bytes.begin(), bytes.end());
    return;
  }
  if (content.size() != bytes.size())
    throw StateError("field " + prefix_ + std::string(name) + " has a wrong size");
  std::copy(content.begin(), content.end(), bytes.begin());
}

void StateArchive::check_count(std::string_view name, uint64_t count, size_t element_size) {
  if (count * element_size != slot(name).size()) {
    throw StateError("field " + prefix_ + std::string(name) + " has a wrong size");
  }
}

std::vector<uint8_t> StateArchive::bytes() const {
  std::vector<uint8_t> out(kMagic.begin(), kMagic.end());
  for (const auto& [name, content] : fields_) {
    append_u32(out, static_cast<uint32_t>(name.size()));
    out.insert(out.end(), name.begin(), name.end());
    append_u32(out, static_cast<uint32_t>(content.size()));
    out.insert(out.end(), content.begin(), content.end());
  }
  return out;
}

}  // namespace vireo
