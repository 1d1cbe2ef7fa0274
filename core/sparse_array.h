// A large array of zeros that takes host memory only where it is touched.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>

namespace vireo {

/// `count` objects of T, all bits 0, aligned to a host page. Throws std::bad_alloc like any container.
template <class T>
class SparseArray {
  static_assert(std::is_trivial_v<T>);

 public:
  explicit SparseArray(size_t count) : bytes_(count * sizeof(T)) {
    void* memory =
        mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<T*>(memory);
  }
  ~SparseArray() { munmap(data_, bytes_); }
  SparseArray(const SparseArray&) = delete;
  SparseArray& operator=(const SparseArray&) = delete;

  T& operator[](size_t index) { return data_[index]; }
  const T& operator[](size_t index) const { return data_[index]; }
  std::span<T> span() { return {data_, bytes_ / sizeof(T)}; }
  /// Makes them zeros again, which gives the memory back.
  void clear() {
    if (madvise(data_, bytes_, MADV_DONTNEED) != 0) std::memset(data_, 0, bytes_);
  }

 private:
  size_t bytes_;
  T* data_;
};

}  // namespace vireo
