// Large, aligned, zeroed memory, in huge pages if the system has them: the transformed weights take
// hundreds of megabytes, and a page fault for every 4 KiB would slow down short clips.
#pragma once
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace hifigan {

class Memory {
 public:
  Memory() = default;
  explicit Memory(size_t bytes) { reserve(bytes); }
  Memory(Memory &&other) noexcept { swap(other); }
  Memory &operator=(Memory &&other) noexcept {
    swap(other);
    return *this;
  }
  Memory(const Memory &) = delete;
  Memory &operator=(const Memory &) = delete;
  ~Memory() { std::free(data_); }

  // Provides at least `bytes`, all zero. Does nothing if there is enough; otherwise loses the contents.
  void reserve(size_t bytes) {
    if (bytes <= bytes_) return;
    std::free(data_);
    data_ = nullptr;
    bytes_ = 0;
    const size_t page = bytes >= HUGE_PAGE ? HUGE_PAGE : 4096;
    const size_t size = (bytes + page - 1) / page * page;
    data_ = std::aligned_alloc(page, size);
    if (!data_) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
    if (page == HUGE_PAGE) madvise(data_, size, MADV_HUGEPAGE);
#endif
    std::memset(data_, 0, size);
    bytes_ = size;
  }
  template <class T>
  T *as() const {
    return static_cast<T *>(data_);
  }
  size_t bytes() const { return bytes_; }

 private:
  static constexpr size_t HUGE_PAGE = size_t(1) << 21;
  void swap(Memory &other) {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }
  void *data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace hifigan
