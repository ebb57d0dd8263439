// One convolution of a residual block, shared out over threads, in the way its weights are packed.
#pragma once
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "pool.h"
#include "row_buffer.h"
#include "weights.h"

namespace hifigan {

// A tile of the spectrum of so many channels is computed by all threads together, so that each
// weight is read once; below it each thread works alone, in its own cache.
constexpr int SHARED_CHANNELS = 256;

class Convolver {
 public:
  Convolver(const Kernels &kernels, Pool &pool)
      : k_(kernels), pool_(pool), own_(pool.threads()) {}

  // y[from, to) of the convolution of leaky(x), plus the residual, added to y where `add` says so.
  // x is zero before its start of time and, beyond its end, where the end is final.
  void run(const ConvolutionWeights &, const RowBuffer &x, const RowBuffer *residual, RowBuffer &y,
           int64_t from, int64_t to, bool add, float slope);

  // y[q] = bias + sum over taps of leaky(x[q + tap - (taps - 1)]) W[tap], q in [from, to), rows of
  // `weights.outputs`; the result lies in room of this object until the next call.
  const float *taps(const TapWeights &, const RowBuffer &x, float slope, int64_t from, int64_t to);

 private:
  void transformed(const ConvolutionWeights &, const Convolution &);
  void transformed_alone(const ConvolutionWeights &, const Convolution &, int64_t tiles);
  void transformed_together(const ConvolutionWeights &, const Convolution &, int64_t tiles);
  void tapped(const ConvolutionWeights &, const Convolution &);
  void planar(const ConvolutionWeights &, const RowBuffer &x, const RowBuffer *residual, RowBuffer &y,
              int64_t from, int64_t to, bool add, float slope);

  // Rounds up to what a product makes at once.
  int64_t whole_blocks(int64_t rows) const {
    return (rows + k_.block_rows - 1) / k_.block_rows * k_.block_rows;
  }
  // Of the weights of one point of a transform.
  int64_t point_words(const ConvolutionWeights &) const;
  // At least so many floats, of one thread.
  float *room(int thread, size_t floats);

  const Kernels &k_;
  Pool &pool_;
  Memory products_, shared_spectrum_, shared_product_;
  struct Own {
    Memory active, spectrum, product;
  };
  std::vector<Own> own_;
};

}  // namespace hifigan
