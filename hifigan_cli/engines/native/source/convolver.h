// A convolution of a residual block, split among threads; its packed weights determine the method.
#pragma once
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "row_buffer.h"
#include "thread_pool.h"
#include "weights.h"

namespace hifigan {

// From this number of channels all threads share each group of tiles, so that every weight is read
// once; with fewer, each thread computes separate tiles in its cache.
constexpr int MIN_SHARED_CHANNELS = 256;

class Convolver {
 public:
  Convolver(const KernelTable &kernels, ThreadPool &pool)
      : kernels_(kernels), pool_(pool), buffers_(pool.threads()) {}

  // Computes y[from, to) of the convolution of leaky(x), plus the residual; `add` adds it to y.
  // x is zero before its start, and after its end at the end of the signal.
  void run(const ConvolutionWeights &, const RowBuffer &x, const RowBuffer *residual, RowBuffer &y,
           int64_t from, int64_t to, bool add, float slope);

  // y[q] = bias + sum over taps of leaky(x[q + tap - (taps - 1)]) W[tap], q in [from, to), in rows of
  // `weights.outputs`. This object owns the result, which is valid until the next call.
  const float *fir(const FirWeights &, const RowBuffer &x, float slope, int64_t from, int64_t to);

 private:
  void run_transform(const ConvolutionWeights &, const Convolution &);
  void run_transform_per_thread(const ConvolutionWeights &, const Convolution &, int64_t tiles);
  void run_transform_shared(const ConvolutionWeights &, const Convolution &, int64_t tiles);
  void run_direct(const ConvolutionWeights &, const Convolution &);
  void run_planar(const ConvolutionWeights &, const RowBuffer &x, const RowBuffer *residual,
                  RowBuffer &y, int64_t from, int64_t to, bool add, float slope);

  // Rounds up to a multiple of the rows that a product computes at once.
  int64_t round_up_to_blocks(int64_t rows) const {
    return (rows + kernels_.block_rows - 1) / kernels_.block_rows * kernels_.block_rows;
  }
  // 32-bit words of the weights of one point of a transform.
  int64_t point_words(const ConvolutionWeights &) const;
  // Returns a thread's buffer of at least `floats`.
  float *active_buffer(int thread, size_t floats);

  const KernelTable &kernels_;
  ThreadPool &pool_;
  Memory fir_output_, shared_spectrum_, shared_product_;
  struct ThreadBuffers {
    Memory active, spectrum, product;
  };
  std::vector<ThreadBuffers> buffers_;
};

}  // namespace hifigan
