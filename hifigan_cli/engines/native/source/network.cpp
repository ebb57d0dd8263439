#include "network.h"

#include <algorithm>
#include <cmath>

namespace hifigan {

namespace {

constexpr float SLOPE = 0.1f;
constexpr float LAST_SLOPE = 0.01f;  // the framework's default, which the official code fell into
constexpr int EDGE_KERNEL = 7, EDGE_PAD = 3;
constexpr int64_t NEVER = int64_t(1) << 60;  // the end of a signal that still goes on

// Rows of a stage at once: few enough to stay in the cache, enough to be shared out. Many channels
// mean many weights, which are read once a piece.
int64_t piece_rows(int channels) {
  return std::max(4096, 131072 / channels);
}

}  // namespace

Network::Network(const KernelSet &set, int threads, const Architecture &a,
                 const float *const *weights)
    : kernels(*set.kernels), pool(threads), mels(a.mels), resblock(a.resblock) {
  auto next = [&weights] { return *weights++; };
  int channels = a.channels;
  const float *w = next(), *b = next();
  first = pack_taps(
      kernels, channels, mels, EDGE_KERNEL,
      [=](int o, int i, int tap) { return w[(int64_t(o) * mels + i) * EDGE_KERNEL + tap]; },
      [=](int o) { return b[o]; });
  // A stage hands on the sum of its blocks. The mean's factor commutes with leaky ReLU, and so goes
  // into the weights that follow.
  float scale = 1;
  for (size_t s = 0; s < a.rates.size(); s++) {
    Stage stage;
    const int inputs = channels, rate = a.rates[s], kernel = a.up_kernels[s];
    const int taps = (kernel + rate - 1) / rate;
    channels /= 2;
    stage.rate = rate;
    stage.pad = (kernel - rate) / 2;
    stage.channels = channels;
    stage.planar = channels % kernels.panel != 0;
    w = next(), b = next();
    // [input][output][tap]: output phase p of input q takes tap p of q, p + rate of q - 1, ...
    stage.up = pack_taps(
        kernels, rate * channels, inputs, taps,
        [=](int o, int i, int tap) {
          const int at = o / channels + (taps - 1 - tap) * rate;
          return at < kernel ? scale * w[(int64_t(i) * channels + o % channels) * kernel + at] : 0.f;
        },
        [=](int o) { return b[o % channels]; });
    for (size_t n = 0; n < a.block_kernels.size(); n++) {
      Block block;
      for (int dilation : a.dilations[n])
        for (int part = 0; part < (a.resblock == 1 ? 2 : 1); part++) {  // dilated, then plain
          w = next(), b = next();
          block.layers.push_back(pack_convolution(set, pool, channels, a.block_kernels[n],
                                                  part ? 1 : dilation, w, b, -1));
          block.reach += block.layers.back().pad();
        }
      stage.lag = std::max(stage.lag, block.reach);
      stage.blocks.push_back(std::move(block));
    }
    scale = 1.f / float(a.block_kernels.size());
    hop *= rate;
    stages.push_back(std::move(stage));
  }
  w = next(), b = next();
  last = pack_taps(
      kernels, 1, channels, EDGE_KERNEL,
      [=](int, int i, int tap) { return scale * w[int64_t(i) * EDGE_KERNEL + tap]; },
      [=](int) { return *b; });
}

Stream::Stream(Network &network) : network_(network), convolver_(network.kernels, network.pool) {
  mel_ = RowBuffer(network.mels, false);
  start_ = RowBuffer(network.stages.empty() ? 1 : network.stages[0].channels * 2, false);
  for (const Stage &stage : network.stages) {
    State state;
    state.entered = RowBuffer(stage.channels, stage.planar);
    state.sum = RowBuffer(stage.channels, stage.planar);
    for (const Block &block : stage.blocks) {
      state.tails.emplace_back(block.layers.size() - 1);
      while (state.between.size() < state.tails.back().size())
        state.between.emplace_back(stage.channels, stage.planar);
    }
    states_.push_back(std::move(state));
  }
}

int64_t Stream::push(const float *mel, int64_t frames, bool end, float *out) {
  network_.pool.notice_fork();
  const int64_t begun = written_;
  out_ = out;
  const int64_t at = mel_.end();
  mel_.extend(at + frames, start_.end() - EDGE_PAD);
  std::copy(mel, mel + frames * network_.mels, mel_.at(at));
  // The first convolution: outputs whose inputs are there, or at the end all.
  const int64_t until = end ? mel_.end() : std::max(start_.end(), mel_.end() - EDGE_PAD);
  const int64_t from = start_.end();
  if (until > from) {
    const int64_t needed = states_[0].entered.end() / network_.stages[0].rate;
    start_.extend(until, std::min(from, needed) - network_.stages[0].up.taps);
    // `taps` looks back from its row; the convolution is centred.
    const float *rows = convolver_.taps(network_.first, mel_, 1.f, from + EDGE_PAD,
                                        until + EDGE_PAD);
    for (int64_t t = from; t < until; t++)
      std::copy_n(rows + (t - from) * network_.first.outputs, start_.channels(), start_.at(t));
  }
  run_stage(0, end);
  const int64_t made = written_ - begun;
  if (end) {
    mel_.clear();
    start_.clear();
    for (State &state : states_) {
      state.entered.clear();
      state.sum.clear();
      for (auto &tails : state.tails) tails.assign(tails.size(), Tail{});
    }
    written_ = 0;
  }
  return made;
}

void Stream::run_stage(size_t index, bool end) {
  const Stage &stage = network_.stages[index];
  State &state = states_[index];
  const RowBuffer &input = index ? states_[index - 1].sum : start_;
  const int64_t whole = input.end() * stage.rate;
  const int64_t available = end ? whole : std::max(state.entered.end(), whole - stage.pad);
  for (;;) {
    const int64_t until = std::min(available, state.entered.end() + piece_rows(stage.channels));
    if (until > state.entered.end()) upsample(index, until);
    const bool at_end = end && until == available;
    const int64_t total = at_end ? until : NEVER;
    const int64_t ready = at_end ? until : std::max(state.sum.end(), until - stage.lag);
    if (ready > state.sum.end()) {
      const int64_t from = state.sum.end();
      // What the next stage still needs of the past: the taps of its transposed convolution, or the
      // last convolution's.
      const bool final = index + 1 == network_.stages.size();
      const int64_t used = final ? written_ : states_[index + 1].entered.end() /
                                                  network_.stages[index + 1].rate;
      const int64_t back = final ? EDGE_KERNEL : network_.stages[index + 1].up.taps;
      state.sum.extend(ready, std::min(from, used) - back);
      for (size_t block = 0; block < stage.blocks.size(); block++)
        run_block(index, block, from, ready, total);
    }
    if (index + 1 < network_.stages.size())
      run_stage(index + 1, at_end);
    else
      run_last(at_end);
    if (until == available) return;
  }
}

void Stream::upsample(size_t index, int64_t until) {
  const Stage &stage = network_.stages[index];
  State &state = states_[index];
  const RowBuffer &input = index ? states_[index - 1].sum : start_;
  const int64_t from = state.entered.end();
  state.entered.extend(until, std::min(from, state.sum.end()) - stage.lag);
  // Group q of outputs begins at q * rate - pad.
  const int64_t first = (from + stage.pad) / stage.rate;
  const int64_t last = (until - 1 + stage.pad) / stage.rate + 1;
  const float *rows = convolver_.taps(stage.up, input, SLOPE, first, last);
  const int channels = stage.channels;
  for (int64_t t = from; t < until; t++) {
    const int64_t q = (t + stage.pad) / stage.rate, phase = (t + stage.pad) % stage.rate;
    const float *row = rows + (q - first) * stage.up.outputs + phase * channels;
    float *to = state.entered.at(t);
    if (stage.planar)
      for (int c = 0; c < channels; c++) to[c * state.entered.stride()] = row[c];
    else
      std::copy_n(row, channels, to);
  }
}

// Rows [from, until) of the sum, as far as this block adds to them.
void Stream::run_block(size_t index, size_t number, int64_t from, int64_t until, int64_t total) {
  const Stage &stage = network_.stages[index];
  const Block &block = stage.blocks[number];
  State &state = states_[index];
  std::vector<RowBuffer> &between = state.between;
  std::vector<Tail> &tails = state.tails[number];
  const int pair = network_.resblock == 1 ? 2 : 1;  // layers that one residual goes around
  const int layers = int(block.layers.size());
  // How far each layer has to go so that the last reaches `until`.
  std::vector<int64_t> ends(layers, until);
  for (int i = layers - 1; i > 0; i--)
    ends[i - 1] = std::min(total, ends[i] + block.layers[i].pad());
  // What layer i made lies between; the last one's is the sum, as far as it was made.
  std::vector<int64_t> begun(layers, from);
  for (int i = 0; i + 1 < layers; i++) {
    begun[i] = tails[i].end;
    ends[i] = std::max(ends[i], begun[i]);
    between[i].restore(tails[i], ends[i]);
    between[i].extend(ends[i], between[i].start());
  }
  for (int i = 0; i < layers; i++) {
    const bool last = i == layers - 1;
    const RowBuffer *residual = nullptr;
    if (i % pair == pair - 1) residual = i >= pair ? &between[i - pair] : &state.entered;
    convolver_.run(block.layers[i], i ? between[i - 1] : state.entered, residual,
                   last ? state.sum : between[i], begun[i], ends[i], last && number > 0, SLOPE);
  }
  // The next rows are made of what the next layer has not read in full, and of the residual.
  for (int i = 0; i + 1 < layers; i++) {
    int64_t needed = ends[i + 1] - block.layers[i + 1].pad();
    if (i % pair == pair - 1 && i + pair < layers) needed = std::min(needed, ends[i + pair]);
    between[i].save(needed, tails[i]);
  }
}

void Stream::run_last(bool end) {
  const RowBuffer &x = states_.back().sum;
  const int64_t until = end ? x.end() : std::max(written_, x.end() - EDGE_PAD);
  if (until == written_) return;
  const TapWeights &w = network_.last;
  const float *rows =
      convolver_.taps(w, x, LAST_SLOPE, written_ + EDGE_PAD, until + EDGE_PAD);
  const int64_t count = until - written_, few = 2048;
  network_.pool.run((count + few - 1) / few, [&](int64_t task, int) {
    for (int64_t t = task * few; t < std::min(count, (task + 1) * few); t++)
      out_[t] = std::tanh(rows[t * w.outputs]);
  });
  out_ += count;
  written_ = until;
}

}  // namespace hifigan
