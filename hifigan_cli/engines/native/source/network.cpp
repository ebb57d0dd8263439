#include "network.h"

#include <algorithm>
#include <cmath>

namespace hifigan {

namespace {

constexpr float LRELU_SLOPE = 0.1f;
constexpr float FINAL_LRELU_SLOPE = 0.01f;  // PyTorch's default, which the official code uses here
constexpr int EDGE_KERNEL_SIZE = 7, EDGE_PAD = 3;
constexpr int64_t NO_END = int64_t(1) << 60;  // the length of the signal is not known yet

// Rows of a stage per piece: few enough to stay in the cache, enough to split among threads. Many
// channels have many weights, which are read once per piece.
int64_t piece_rows(int channels) {
  return std::max(4096, 131072 / channels);
}

}  // namespace

Network::Network(const KernelSet &set, int threads, const Architecture &a,
                 const float *const *weights)
    : kernels(*set.kernels), pool(threads), n_mels(a.n_mels), resblock(a.resblock) {
  auto next = [&weights] { return *weights++; };
  int channels = a.channels;
  const float *w = next(), *b = next();
  conv_pre = pack_fir(
      kernels, channels, n_mels, EDGE_KERNEL_SIZE,
      [=](int o, int i, int tap) { return w[(int64_t(o) * n_mels + i) * EDGE_KERNEL_SIZE + tap]; },
      [=](int o) { return b[o]; });
  // A stage outputs the sum of its blocks. The mean's factor commutes with leaky ReLU, so it is folded
  // into the next weights.
  float scale = 1;
  for (size_t s = 0; s < a.upsample_rates.size(); s++) {
    Stage stage;
    const int inputs = channels;
    const int rate = a.upsample_rates[s], kernel_size = a.upsample_kernel_sizes[s];
    const int taps = (kernel_size + rate - 1) / rate;
    channels /= 2;
    stage.rate = rate;
    stage.pad = (kernel_size - rate) / 2;
    stage.channels = channels;
    stage.planar = channels % kernels.panel != 0;
    w = next(), b = next();
    // [input][output][tap]: output phase p of input q uses tap p of q, p + rate of q - 1, ...
    stage.up = pack_fir(
        kernels, rate * channels, inputs, taps,
        [=](int o, int i, int tap) {
          const int at = o / channels + (taps - 1 - tap) * rate;
          const int64_t filter = int64_t(i) * channels + o % channels;
          return at < kernel_size ? scale * w[filter * kernel_size + at] : 0.f;
        },
        [=](int o) { return b[o % channels]; });
    for (size_t n = 0; n < a.resblock_kernel_sizes.size(); n++) {
      Block block;
      for (int dilation : a.dilations[n])
        for (int part = 0; part < (a.resblock == 1 ? 2 : 1); part++) {  // dilated, then plain
          w = next(), b = next();
          block.layers.push_back(pack_convolution(set, pool, channels, a.resblock_kernel_sizes[n],
                                                  part ? 1 : dilation, w, b, -1));
          block.context += block.layers.back().pad();
        }
      stage.max_context = std::max(stage.max_context, block.context);
      stage.blocks.push_back(std::move(block));
    }
    scale = 1.f / float(a.resblock_kernel_sizes.size());
    hop_length *= rate;
    stages.push_back(std::move(stage));
  }
  w = next(), b = next();
  conv_post = pack_fir(
      kernels, 1, channels, EDGE_KERNEL_SIZE,
      [=](int, int i, int tap) { return scale * w[int64_t(i) * EDGE_KERNEL_SIZE + tap]; },
      [=](int) { return *b; });
}

Stream::Stream(Network &network) : network_(network), convolver_(network.kernels, network.pool) {
  mel_ = RowBuffer(network.n_mels, false);
  pre_ = RowBuffer(network.stages.empty() ? 1 : network.stages[0].channels * 2, false);
  for (const Stage &stage : network.stages) {
    State state;
    state.upsampled = RowBuffer(stage.channels, stage.planar);
    state.sum = RowBuffer(stage.channels, stage.planar);
    for (const Block &block : stage.blocks) {
      state.saved_rows.emplace_back(block.layers.size() - 1);
      while (state.intermediate.size() < state.saved_rows.back().size())
        state.intermediate.emplace_back(stage.channels, stage.planar);
    }
    states_.push_back(std::move(state));
  }
}

int64_t Stream::push(const float *mel, int64_t frames, bool end, float *out) {
  network_.pool.detect_fork();
  const int64_t written_before = written_;
  out_ = out;
  const int64_t at = mel_.end();
  mel_.extend(at + frames, pre_.end() - EDGE_PAD);
  std::copy(mel, mel + frames * network_.n_mels, mel_.at(at));
  // conv_pre: the outputs whose inputs have arrived, or at the end all.
  const int64_t until = end ? mel_.end() : std::max(pre_.end(), mel_.end() - EDGE_PAD);
  const int64_t from = pre_.end();
  if (until > from) {
    const int64_t needed = states_[0].upsampled.end() / network_.stages[0].rate;
    pre_.extend(until, std::min(from, needed) - network_.stages[0].up.taps);
    // `fir` is causal; the convolution is centered.
    const float *rows = convolver_.fir(network_.conv_pre, mel_, 1.f, from + EDGE_PAD,
                                        until + EDGE_PAD);
    for (int64_t t = from; t < until; t++)
      std::copy_n(rows + (t - from) * network_.conv_pre.outputs, pre_.channels(), pre_.at(t));
  }
  run_stage(0, end);
  const int64_t count = written_ - written_before;
  if (end) {
    mel_.clear();
    pre_.clear();
    for (State &state : states_) {
      state.upsampled.clear();
      state.sum.clear();
      for (auto &saved : state.saved_rows) saved.assign(saved.size(), SavedRows{});
    }
    written_ = 0;
  }
  return count;
}

void Stream::run_stage(size_t index, bool end) {
  const Stage &stage = network_.stages[index];
  State &state = states_[index];
  const RowBuffer &input = index ? states_[index - 1].sum : pre_;
  const int64_t rows = input.end() * stage.rate;
  const int64_t available = end ? rows : std::max(state.upsampled.end(), rows - stage.pad);
  for (;;) {
    const int64_t until = std::min(available, state.upsampled.end() + piece_rows(stage.channels));
    if (until > state.upsampled.end()) upsample(index, until);
    const bool at_end = end && until == available;
    const int64_t total = at_end ? until : NO_END;
    const int64_t ready = at_end ? until : std::max(state.sum.end(), until - stage.max_context);
    if (ready > state.sum.end()) {
      const int64_t from = state.sum.end();
      // The next stage still needs past rows, for the taps of its transposed convolution or of
      // conv_post.
      const bool final = index + 1 == network_.stages.size();
      const int64_t used = final ? written_ : states_[index + 1].upsampled.end() /
                                                  network_.stages[index + 1].rate;
      const int64_t back = final ? EDGE_KERNEL_SIZE : network_.stages[index + 1].up.taps;
      state.sum.extend(ready, std::min(from, used) - back);
      for (size_t block = 0; block < stage.blocks.size(); block++)
        run_block(index, block, from, ready, total);
    }
    if (index + 1 < network_.stages.size())
      run_stage(index + 1, at_end);
    else
      run_conv_post(at_end);
    if (until == available) return;
  }
}

void Stream::upsample(size_t index, int64_t until) {
  const Stage &stage = network_.stages[index];
  State &state = states_[index];
  const RowBuffer &input = index ? states_[index - 1].sum : pre_;
  const int64_t from = state.upsampled.end();
  state.upsampled.extend(until, std::min(from, state.sum.end()) - stage.max_context);
  // Group q of outputs starts at q * rate - pad.
  const int64_t first = (from + stage.pad) / stage.rate;
  const int64_t last = (until - 1 + stage.pad) / stage.rate + 1;
  const float *rows = convolver_.fir(stage.up, input, LRELU_SLOPE, first, last);
  const int channels = stage.channels;
  for (int64_t t = from; t < until; t++) {
    const int64_t q = (t + stage.pad) / stage.rate, phase = (t + stage.pad) % stage.rate;
    const float *row = rows + (q - first) * stage.up.outputs + phase * channels;
    float *to = state.upsampled.at(t);
    if (stage.planar)
      for (int c = 0; c < channels; c++) to[c * state.upsampled.stride()] = row[c];
    else
      std::copy_n(row, channels, to);
  }
}

// Adds this block's output to rows [from, until) of the sum.
void Stream::run_block(size_t index, size_t number, int64_t from, int64_t until, int64_t total) {
  const Stage &stage = network_.stages[index];
  const Block &block = stage.blocks[number];
  State &state = states_[index];
  std::vector<RowBuffer> &intermediate = state.intermediate;
  std::vector<SavedRows> &saved_rows = state.saved_rows[number];
  const int pair = network_.resblock == 1 ? 2 : 1;  // layers per residual connection
  const int layers = int(block.layers.size());
  // The end that each layer must reach so that the last one reaches `until`.
  std::vector<int64_t> ends(layers, until);
  for (int i = layers - 1; i > 0; i--)
    ends[i - 1] = std::min(total, ends[i] + block.layers[i].pad());
  // Layer i continues where its intermediate output ends; the last layer continues the sum.
  std::vector<int64_t> starts(layers, from);
  for (int i = 0; i + 1 < layers; i++) {
    starts[i] = saved_rows[i].end;
    ends[i] = std::max(ends[i], starts[i]);
    intermediate[i].restore(saved_rows[i], ends[i]);
    intermediate[i].extend(ends[i], intermediate[i].start());
  }
  for (int i = 0; i < layers; i++) {
    const bool last = i == layers - 1;
    const RowBuffer *residual = nullptr;
    if (i % pair == pair - 1) residual = i >= pair ? &intermediate[i - pair] : &state.upsampled;
    convolver_.run(block.layers[i], i ? intermediate[i - 1] : state.upsampled, residual,
                   last ? state.sum : intermediate[i], starts[i], ends[i], last && number > 0,
                   LRELU_SLOPE);
  }
  // Keep the rows that the next layer and the residual connection still need.
  for (int i = 0; i + 1 < layers; i++) {
    int64_t needed = ends[i + 1] - block.layers[i + 1].pad();
    if (i % pair == pair - 1 && i + pair < layers) needed = std::min(needed, ends[i + pair]);
    intermediate[i].save(needed, saved_rows[i]);
  }
}

void Stream::run_conv_post(bool end) {
  const RowBuffer &x = states_.back().sum;
  const int64_t until = end ? x.end() : std::max(written_, x.end() - EDGE_PAD);
  if (until == written_) return;
  const FirWeights &w = network_.conv_post;
  const float *rows =
      convolver_.fir(w, x, FINAL_LRELU_SLOPE, written_ + EDGE_PAD, until + EDGE_PAD);
  const int64_t count = until - written_, rows_per_task = 2048;
  network_.pool.run((count + rows_per_task - 1) / rows_per_task, [&](int64_t task, int) {
    for (int64_t t = task * rows_per_task; t < std::min(count, (task + 1) * rows_per_task); t++)
      out_[t] = std::tanh(rows[t * w.outputs]);
  });
  out_ += count;
  written_ = until;
}

}  // namespace hifigan
