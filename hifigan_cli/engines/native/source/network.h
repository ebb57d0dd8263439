// The generator (models/generator.py says what it computes), as a stream.
//
// Mel frames go in, samples come out, as soon as all that they depend on is there. Every layer keeps
// the few rows of its input that its next outputs will need, so that nothing is computed twice and
// memory does not grow. Stages work through a push in pieces that fit the caches.
#pragma once
#include <cstdint>
#include <mutex>
#include <vector>

#include "convolver.h"
#include "kernels.h"
#include "pool.h"
#include "row_buffer.h"
#include "weights.h"

namespace hifigan {

struct Architecture {
  int mels, channels, resblock;
  std::vector<int> rates, up_kernels, block_kernels;
  std::vector<std::vector<int>> dilations;  // of each block
};

struct Block {
  std::vector<ConvolutionWeights> layers;  // resblock 1: dilated and plain in turn
  int reach = 0;                           // rows to each side
};

struct Stage {
  int rate = 1, pad = 0, channels = 0;
  bool planar = false;
  TapWeights up;
  std::vector<Block> blocks;
  int lag = 0;  // the largest reach of its blocks
};

// Weights, shared by all streams. They come in the order of the forward pass, each bias after its
// weight: first convolution; per stage the transposed one, then per block each layer in turn
// (resblock 1: convs1[0], convs2[0], convs1[1], ...); last convolution.
//
// The first and last convolution and the upsampling, 4 % of the work, always run in float32: what
// they round is in every sample.
struct Network {
  const Kernels &kernels;
  Pool pool;
  std::mutex busy;
  int mels = 0, hop = 1, resblock = 1;
  TapWeights first, last;
  std::vector<Stage> stages;

  Network(const KernelSet &, int threads, const Architecture &, const float *const *weights);
};

class Stream {
 public:
  explicit Stream(Network &network);

  // Takes `frames` rows of mels, [frame][mel]; writes samples to `out`, returns how many: never
  // more than (frames pushed so far) * hop in all. `end`: these were the last; the stream is then
  // as new.
  int64_t push(const float *mel, int64_t frames, bool end, float *out);

 private:
  // What lies between the layers of a block is needed no more when the block has run, but for a
  // few rows. So blocks share the room for it, which then stays in the caches.
  struct State {
    RowBuffer entered, sum;
    std::vector<RowBuffer> between;            // after each layer but the last
    std::vector<std::vector<Tail>> tails;  // of these, per block
  };

  void run_stage(size_t index, bool end);
  void upsample(size_t index, int64_t until);
  void run_block(size_t index, size_t block, int64_t from, int64_t until, int64_t total);
  void run_last(bool end);

  Network &network_;
  Convolver convolver_;
  RowBuffer mel_, start_;
  std::vector<State> states_;
  int64_t written_ = 0;   // samples since the beginning
  float *out_ = nullptr;  // where the next ones go
};

}  // namespace hifigan
