#include "convolver.h"

#include <algorithm>

namespace hifigan {

namespace {

constexpr size_t OWN_BYTES = size_t(1) << 19;     // of spectrum and product that one thread holds
constexpr size_t SHARED_BYTES = size_t(6) << 20;  // of both, that all threads share
constexpr int64_t SKEW = 16;  // words between points, so that they do not fall on the same cache set

// The size of groups of nearly equal size, none above `most`, their number a multiple of `workers`.
int64_t evenly(int64_t items, int64_t most, int64_t workers) {
  int64_t groups = (items + most - 1) / most;
  groups = (groups + workers - 1) / workers * workers;
  return std::max<int64_t>(1, (items + groups - 1) / groups);
}

}  // namespace

void Convolver::run(const ConvolutionWeights &w, const RowBuffer &x, const RowBuffer *residual, RowBuffer &y,
                    int64_t from, int64_t to, bool add, float slope) {
  if (from >= to) return;
  if (w.way == Way::planar) {
    planar(w, x, residual, y, from, to, add, slope);
    return;
  }
  const Convolution c{x.at(x.start()), x.start(), x.end(),
                      residual ? residual->at(residual->start()) : nullptr,
                      residual ? residual->start() : 0,
                      y.at(y.start()), y.start(), from, to, w.channels, w.kernel, w.dilation, add,
                      slope, w.bias.data(), w.weights.as<void>()};
  if (w.way == Way::transform)
    transformed(w, c);
  else
    tapped(w, c);
}

void Convolver::transformed(const ConvolutionWeights &w, const Convolution &c) {
  const int64_t phase = (c.to - c.from + c.dilation - 1) / c.dilation;
  const int64_t tiles = (phase + w.transform->outputs - 1) / w.transform->outputs * c.dilation;
  if (w.channels >= SHARED_CHANNELS)
    transformed_together(w, c, tiles);
  else
    transformed_alone(w, c, tiles);
}

void Convolver::transformed_alone(const ConvolutionWeights &w, const Convolution &c,
                                  int64_t tiles) {
  const Transform &t = *w.transform;
  const int64_t words = w.products->row_words(w.channels);
  const size_t row_bytes = size_t(t.points) * (words + w.channels) * 4;
  const int64_t group = evenly(
      tiles, std::max<int64_t>(1, OWN_BYTES / (row_bytes * k_.block_rows)) * k_.block_rows,
      pool_.threads());
  const int64_t spectrum_stride = group * words + SKEW;
  const int64_t product_stride = group * w.channels + SKEW;
  pool_.run((tiles + group - 1) / group, [&](int64_t task, int thread) {
    Own &own = own_[thread];
    own.spectrum.reserve(size_t(t.points) * spectrum_stride * 4 + 64);
    own.product.reserve(size_t(t.points) * product_stride * 4 + 64);
    uint32_t *spectrum = own.spectrum.as<uint32_t>();
    float *product = own.product.as<float>();
    const int64_t first = task * group, last = std::min(tiles, first + group);
    t.forward(c, spectrum, words, spectrum_stride, first, last);
    for (int p = 0; p < t.points; p++)
      w.products->multiply(spectrum + p * spectrum_stride, words,
                  w.weights.as<uint32_t>() + p * point_words(w),
                  product + p * product_stride, w.channels, last - first, w.channels, w.channels);
    t.inverse(c, product, w.channels, product_stride, first, last);
  });
}

void Convolver::transformed_together(const ConvolutionWeights &w, const Convolution &c,
                                     int64_t tiles) {
  const Transform &t = *w.transform;
  const int64_t words = w.products->row_words(w.channels);
  const size_t row_bytes = size_t(t.points) * (words + w.channels) * 4;
  const int64_t group = evenly(tiles, std::max<int64_t>(k_.block_rows, SHARED_BYTES / row_bytes), 1);
  const int64_t spectrum_stride = group * words + SKEW;
  const int64_t product_stride = group * w.channels + SKEW;
  shared_spectrum_.reserve(size_t(t.points) * spectrum_stride * 4 + 64);
  shared_product_.reserve(size_t(t.points) * product_stride * 4 + 64);
  uint32_t *spectrum = shared_spectrum_.as<uint32_t>();
  float *product = shared_product_.as<float>();
  for (int64_t first = 0; first < tiles; first += group) {
    const int64_t last = std::min(tiles, first + group), few = 4;
    const int64_t parts = (last - first + few - 1) / few;
    pool_.run(parts, [&](int64_t part, int) {
      const int64_t a = first + part * few, b = std::min(last, a + few);
      t.forward(c, spectrum + (a - first) * words, words, spectrum_stride, a, b);
    });
    pool_.run(t.points, [&](int64_t p, int) {
      w.products->multiply(spectrum + p * spectrum_stride, words,
                  w.weights.as<uint32_t>() + p * point_words(w), product + p * product_stride,
                  w.channels, last - first, w.channels, w.channels);
    });
    pool_.run(parts, [&](int64_t part, int) {
      const int64_t a = first + part * few, b = std::min(last, a + few);
      t.inverse(c, product + (a - first) * w.channels, w.channels, product_stride, a, b);
    });
  }
}

// In what follows a thread activates what its part of the outputs reads, and then sums the taps: the
// inputs of neighbouring parts overlap, which costs less than waiting for one another in between.

void Convolver::tapped(const ConvolutionWeights &w, const Convolution &c) {
  const int64_t rows = c.to - c.from;
  const int64_t span = (w.kernel - 1) * int64_t(w.dilation);
  const int64_t part = evenly(rows, 512, pool_.threads());
  pool_.run((rows + part - 1) / part, [&](int64_t task, int thread) {
    Convolution own = c;
    own.from = c.from + task * part;
    own.to = std::min(c.to, own.from + part);
    const int64_t begin = own.from - w.pad(), inputs = own.to - own.from + span;
    float *active = room(thread, size_t(whole_blocks(inputs) + k_.block_rows) * w.channels);
    k_.activate(c.x, c.x_start, c.x_end, w.channels, c.slope, begin, begin + inputs, active);
    k_.direct(own, active, 0, own.to - own.from);
  });
}

void Convolver::planar(const ConvolutionWeights &w, const RowBuffer &x, const RowBuffer *residual,
                       RowBuffer &y, int64_t from, int64_t to, bool add, float slope) {
  const int64_t span = (w.kernel - 1) * int64_t(w.dilation);
  const int64_t block = 48;  // whole numbers of vectors
  const int64_t part = (evenly(to - from, 768, pool_.threads()) + block - 1) / block * block;
  pool_.run((to - from + part - 1) / part, [&](int64_t task, int thread) {
    const int64_t first = from + task * part, last = std::min(to, first + part);
    const int64_t begin = first - w.pad(), length = last - first + span;
    const int64_t stride = (length + 31) / 16 * 16;
    float *active = room(thread, size_t(w.channels) * stride);
    // Of what is read, [a, b) exists; the rest is padding.
    const int64_t a = std::clamp(x.start() - begin, int64_t(0), length);
    const int64_t b = std::clamp(x.end() - begin, a, length);
    for (int channel = 0; channel < w.channels; channel++) {
      float *out = active + channel * stride;
      const float *in = x.at(begin) + channel * x.stride();
      std::fill(out, out + a, 0.f);
      for (int64_t t = a; t < b; t++) out[t] = std::max(in[t], in[t] * slope);
      std::fill(out + b, out + length, 0.f);
    }
    k_.planar(active, stride, w.weights.as<float>(), w.bias.data(),
              residual ? residual->at(first) : nullptr, residual ? residual->stride() : 0,
              y.at(first), y.stride(), add, last - first, w.channels, w.kernel, w.dilation);
  });
}

const float *Convolver::taps(const TapWeights &w, const RowBuffer &x, float slope, int64_t from,
                             int64_t to) {
  const int64_t rows = to - from, before = w.taps - 1;
  products_.reserve(size_t(rows + k_.block_rows * (pool_.threads() + 1)) * w.outputs * 4);
  float *y = products_.as<float>();
  // Blocks are whole, so that what one writes beyond its part is its own.
  const int64_t part = whole_blocks(evenly(rows, 256, pool_.threads()));
  pool_.run((rows + part - 1) / part, [&](int64_t task, int thread) {
    const int64_t first = task * part, count = std::min(rows - first, part);
    const int64_t begin = from + first - before, inputs = count + before;
    const size_t size = size_t(whole_blocks(inputs) + k_.block_rows) * w.inputs;
    const size_t gathered = x.planar() ? size_t(inputs) * x.channels() : 0;
    float *active = room(thread, size + gathered);
    const float *source = x.at(x.start());
    int64_t start = x.start(), end = x.end();
    if (x.planar()) {  // channels of samples -> rows of channels
      start = std::max(start, begin);
      end = std::max(start, std::min(end, begin + inputs));
      float *row = active + size;
      source = row;
      for (int64_t t = start; t < end; t++)
        for (int c = 0; c < x.channels(); c++) *row++ = x.at(t)[c * x.stride()];
    }
    k_.activate(source, start, end, x.channels(), slope, begin, begin + inputs, active);
    k_.taps(active, w.inputs, w.taps, 1, w.weights.as<float>(), w.bias.data(),
               y + first * w.outputs, w.outputs, count, w.inputs, w.outputs);
  });
  return y;
}

int64_t Convolver::point_words(const ConvolutionWeights &w) const {
  return w.products->panel_words(w.channels) * (w.channels / k_.panel);
}

float *Convolver::room(int thread, size_t floats) {
  own_[thread].active.reserve(floats * sizeof(float) + 64);
  return own_[thread].active.as<float>();
}

}  // namespace hifigan
