// The generator of models/generator.py, as a stream.
//
// Mel frames go in, and samples come out once all frames that they depend on have arrived. Every layer
// keeps the few rows of its input that its next outputs need, so that nothing is computed twice and
// memory does not grow. Stages process a push in pieces that fit the caches.
#pragma once
#include <cstdint>
#include <mutex>
#include <vector>

#include "convolver.h"
#include "kernels.h"
#include "row_buffer.h"
#include "thread_pool.h"
#include "weights.h"

namespace hifigan {

struct Architecture {
  int n_mels, channels, resblock;
  std::vector<int> upsample_rates, upsample_kernel_sizes, resblock_kernel_sizes;
  std::vector<std::vector<int>> dilations;  // one vector per block
};

struct Block {
  std::vector<ConvolutionWeights> layers;  // resblock 1: alternately dilated and plain
  int context = 0;                         // rows on each side
};

struct Stage {
  int rate = 1, pad = 0, channels = 0;
  bool planar = false;
  FirWeights up;
  std::vector<Block> blocks;
  int max_context = 0;  // the largest context of its blocks
};

// The weights, shared by all streams. They are in the order of the forward pass, each bias after its
// weight: conv_pre; per stage the transposed convolution, then per block each layer (resblock 1:
// convs1[0], convs2[0], convs1[1], ...); conv_post.
//
// conv_pre, conv_post and the upsampling, 4 % of the work, always run in float32: their rounding
// affects every sample.
struct Network {
  const KernelTable &kernels;
  ThreadPool pool;
  std::mutex mutex;
  int n_mels = 0, hop_length = 1, resblock = 1;
  FirWeights conv_pre, conv_post;
  std::vector<Stage> stages;

  Network(const KernelSet &, int threads, const Architecture &, const float *const *weights);
};

class Stream {
 public:
  explicit Stream(Network &network);

  // Takes a mel, [frame][mel]; writes samples to `out` and returns their number: in total at most
  // (frames pushed so far) * hop_length. `end` marks the last frames and then resets the stream.
  int64_t push(const float *mel, int64_t frames, bool end, float *out);

 private:
  // After a block has run, only a few rows of its intermediate results are needed. So all blocks
  // share the buffers for them, which then stay in the caches.
  struct State {
    RowBuffer upsampled, sum;
    std::vector<RowBuffer> intermediate;   // after each layer but the last
    std::vector<std::vector<SavedRows>> saved_rows;  // intermediate results, per block
  };

  void run_stage(size_t index, bool end);
  void upsample(size_t index, int64_t until);
  void run_block(size_t index, size_t block, int64_t from, int64_t until, int64_t total);
  void run_conv_post(bool end);

  Network &network_;
  Convolver convolver_;
  RowBuffer mel_, pre_;
  std::vector<State> states_;
  int64_t written_ = 0;   // samples since the start of the signal
  float *out_ = nullptr;  // where the next samples go
};

}  // namespace hifigan
