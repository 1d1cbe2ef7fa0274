// What pages with code held before somebody ran who tells nobody of stores (hardware assist), so that what
// others have made of code need not go as a whole then. Pages are compared: KVM's dirty log names far more,
// each page that it has made writable, as it does on a read.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "core/guest_memory.h"

namespace vireo {

class CodeSnapshot final : public MemoryListener {
 public:
  explicit CodeSnapshot(GuestMemory& memory) : memory_(memory) { memory_.add_listener(*this); }
  ~CodeSnapshot() override { memory_.remove_listener(*this); }
  CodeSnapshot(const CodeSnapshot&) = delete;
  CodeSnapshot& operator=(const CodeSnapshot&) = delete;

  /// Before such a run. With the A20 gate closed there is none, and nothing to be done.
  void take();
  /// Behind it: tells the memory's listeners of what is different, as written by Writer::kOther.
  void tell_of_changes();
  size_t pages() const { return pages_.size(); }

  void on_code_written(Gpa start, uint64_t, Writer) override { invalidate(start); }
  void on_tables_written(Gpa start, uint64_t) override { invalidate(start); }
  /// Stores were not told until now.
  void on_code_marked(Gpa page) override { invalidate(page); }
  /// What others have made of code has gone.
  void on_layout_changed() override { pages_.clear(); }

 private:
  struct Page {
    std::unique_ptr<uint8_t[]> bytes;
    const uint8_t* host = nullptr;
    bool valid = false;  ///< `bytes` is what it held at take(), and nobody else has written there since
    bool code = false;   ///< it still holds code
  };

  void invalidate(Gpa address);

  GuestMemory& memory_;
  std::unordered_map<uint64_t, Page> pages_;  ///< by guest-physical address
};

}  // namespace vireo
