// The most recent part of a signal with several channels.
//
// The layout is rows of channels, [time][channel], or, for few channels, planar: [channel][time].
// Times are absolute. Rows before `start` are discarded; before the beginning of the signal, and after
// its end, all rows are zero.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "memory.h"

namespace hifigan {

// The last rows of a RowBuffer, saved while its memory is used for another signal.
struct SavedRows {
  int64_t start = 0, end = 0;
  std::vector<float> values;  // the layout is that of the buffer
};

class RowBuffer {
 public:
  RowBuffer() = default;
  RowBuffer(int channels, bool planar) : channels_(channels), planar_(planar) {}

  int channels() const { return channels_; }
  bool planar() const { return planar_; }
  int64_t start() const { return start_; }
  int64_t end() const { return end_; }
  int64_t stride() const { return capacity_; }  // between channels, if planar

  // Returns the address of row `t`, or of sample `t` of channel 0.
  float *at(int64_t t) const {
    return memory_.as<float>() + (t - start_) * (planar_ ? 1 : channels_);
  }

  void clear() { start_ = end_ = 0; }

  // Saves the rows after `from`, so that this memory can be used for another signal.
  void save(int64_t from, SavedRows &saved) const {
    saved.start = std::min(std::max(from, start_), end_);
    saved.end = end_;
    const size_t rows = saved.end - saved.start;
    saved.values.resize(rows * channels_);
    if (!rows) return;
    const size_t runs = planar_ ? channels_ : 1, size = saved.values.size() / runs;
    for (size_t i = 0; i < runs; i++)
      std::memcpy(saved.values.data() + i * size, at(saved.start) + i * capacity_,
                  size * sizeof(float));
  }

  // Restores saved rows, with capacity up to `end`.
  void restore(const SavedRows &saved, int64_t end) {
    start_ = saved.start;
    end_ = saved.start;
    if (std::max(end, saved.end) - start_ > capacity_) enlarge(std::max(end, saved.end), start_);
    end_ = saved.end;
    if (saved.values.empty()) return;
    const size_t runs = planar_ ? channels_ : 1, size = saved.values.size() / runs;
    for (size_t i = 0; i < runs; i++)
      std::memcpy(at(start_) + i * capacity_, saved.values.data() + i * size,
                  size * sizeof(float));
  }

  // Extends the buffer to `end`; rows before `keep_from` may be discarded.
  void extend(int64_t end, int64_t keep_from) {
    keep_from = std::min(std::max(keep_from, start_), end_);
    if (end - start_ > capacity_) {
      if (end - keep_from <= capacity_)
        discard_before(keep_from);
      else
        enlarge(end, keep_from);
    }
    end_ = std::max(end_, end);
  }

 private:
  void discard_before(int64_t keep_from) {
    const size_t rows = end_ - keep_from;
    float *data = memory_.as<float>();
    if (planar_)
      for (int c = 0; c < channels_; c++)
        std::memmove(data + c * capacity_, data + c * capacity_ + (keep_from - start_),
                     rows * sizeof(float));
    else
      std::memmove(data, at(keep_from), rows * channels_ * sizeof(float));
    start_ = keep_from;
  }

  void enlarge(int64_t end, int64_t keep_from) {
    // Extra capacity, so that old rows are moved rarely; a multiple of the vector size.
    const int64_t needed = end - keep_from;
    const int64_t capacity = (needed + std::min<int64_t>(needed / 4, 256) + 63) / 32 * 32;
    Memory larger(size_t(capacity) * channels_ * sizeof(float));
    const size_t rows = end_ - keep_from;
    if (memory_.bytes() && rows) {
      if (planar_)
        for (int c = 0; c < channels_; c++)
          std::memcpy(larger.as<float>() + c * capacity, at(keep_from) + c * capacity_,
                      rows * sizeof(float));
      else
        std::memcpy(larger.as<float>(), at(keep_from), rows * channels_ * sizeof(float));
    }
    memory_ = std::move(larger);
    capacity_ = capacity;
    start_ = keep_from;
  }

  int channels_ = 0;
  bool planar_ = false;
  int64_t start_ = 0, end_ = 0, capacity_ = 0;
  Memory memory_;
};

}  // namespace hifigan
