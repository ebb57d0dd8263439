#include "convolver.h"

#include <algorithm>

namespace hifigan {

namespace {

constexpr size_t OWN_BYTES = size_t(1) << 19;     // of spectrum and product that one thread holds
constexpr size_t SHARED_BYTES = size_t(12) << 20;  // of both, that all threads share
constexpr int64_t SKEW = 16;  // words between points, so that they do not fall on the same cache set

// The size of groups of nearly equal size, none above `most`, their number a multiple of `workers`.
int64_t evenly(int64_t items, int64_t most, int64_t workers) {
  int64_t groups = (items + most - 1) / most;
  groups = (groups + workers - 1) / workers * workers;
  return std::max<int64_t>(1, (items + groups - 1) / groups);
}

}  // namespace

void Convolver::run(const ConvolutionWeights &w, const Track &x, const Track *residual, Track &y,
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
  const int64_t words = w.channels / pack();
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
      k_.multiply(spectrum + p * spectrum_stride, words,
                  w.weights.as<uint32_t>() + int64_t(p) * words * w.channels,
                  product + p * product_stride, w.channels, last - first, w.channels, w.channels);
    t.inverse(c, product, w.channels, product_stride, first, last);
  });
}

void Convolver::transformed_together(const ConvolutionWeights &w, const Convolution &c,
                                     int64_t tiles) {
  const Transform &t = *w.transform;
  const int64_t words = w.channels / pack();
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
      k_.multiply(spectrum + p * spectrum_stride, words,
                  w.weights.as<uint32_t>() + p * words * w.channels, product + p * product_stride,
                  w.channels, last - first, w.channels, w.channels);
    });
    pool_.run(parts, [&](int64_t part, int) {
      const int64_t a = first + part * few, b = std::min(last, a + few);
      t.inverse(c, product + (a - first) * w.channels, w.channels, product_stride, a, b);
    });
  }
}

void Convolver::tapped(const ConvolutionWeights &w, const Convolution &c) {
  const int64_t words = w.channels / pack(), rows = c.to - c.from;
  const int64_t span = (w.kernel - 1) * int64_t(w.dilation);
  const int64_t few = 64;
  active_.reserve(size_t(rows + span + few + k_.block_rows) * words * 4);
  uint32_t *active = active_.as<uint32_t>();
  const int64_t begin = c.from - w.pad();
  pool_.run((rows + span + few - 1) / few, [&](int64_t task, int) {
    const int64_t a = task * few, b = std::min(rows + span, a + few);
    k_.activate(c.x, c.x_start, c.x_end, w.channels, c.slope, begin + a, begin + b,
                active + a * words);
  });
  const int64_t part = whole_blocks(
      std::min<int64_t>(1024, (rows + pool_.threads() - 1) / pool_.threads()));
  pool_.run((rows + part - 1) / part, [&](int64_t task, int) {
    k_.direct(c, active, task * part, std::min(rows, (task + 1) * part));
  });
}

void Convolver::planar(const ConvolutionWeights &w, const Track &x, const Track *residual,
                       Track &y, int64_t from, int64_t to, bool add, float slope) {
  const int64_t span = (w.kernel - 1) * int64_t(w.dilation), length = to - from + span;
  const int64_t stride = (length + 31) / 16 * 16, begin = from - w.pad();
  active_.reserve(size_t(w.channels) * stride * 4);
  float *active = active_.as<float>();
  pool_.run(w.channels, [&](int64_t channel, int) {
    float *to_row = active + channel * stride;
    const float *row = x.at(x.start()) + channel * x.stride() - x.start();
    const int64_t a = std::clamp(x.start() - begin, int64_t(0), length);
    const int64_t b = std::clamp(x.end() - begin, a, length);
    std::fill(to_row, to_row + a, 0.f);
    for (int64_t t = a; t < b; t++) {
      const float v = row[begin + t], low = v * slope;
      to_row[t] = v > low ? v : low;
    }
    std::fill(to_row + b, to_row + length, 0.f);
  });
  const int64_t part = 768;
  pool_.run((to - from + part - 1) / part, [&](int64_t task, int) {
    const int64_t a = task * part, n = std::min(to - from, a + part) - a;
    k_.planar(active + a, stride, w.weights.as<float>(), w.bias.data(),
              residual ? residual->at(from + a) : nullptr, residual ? residual->stride() : 0,
              y.at(from + a), y.stride(), add, n, w.channels, w.kernel, w.dilation);
  });
}

const float *Convolver::taps(const TapWeights &w, const Track &x, float slope, int64_t from,
                             int64_t to) {
  const int64_t rows = to - from, all = rows + w.taps - 1, words = w.inputs;
  const int64_t begin = from - (w.taps - 1);
  active_.reserve(size_t(whole_blocks(all) + k_.block_rows) * words * 4);
  products_.reserve(size_t(whole_blocks(rows)) * w.outputs * 4);
  float *active = active_.as<float>();
  const float *source = x.at(x.start());
  int64_t start = x.start(), end = x.end();
  if (x.planar()) {  // channels of samples -> rows of channels
    const int64_t a = std::max(start, begin), b = std::max(a, std::min(end, to));
    gathered_.reserve(size_t(b - a) * x.channels() * 4 + 4);
    float *rows_of = gathered_.as<float>();
    for (int c = 0; c < x.channels(); c++) {
      const float *channel = x.at(a) + c * x.stride();
      for (int64_t t = 0; t < b - a; t++) rows_of[t * x.channels() + c] = channel[t];
    }
    source = rows_of;
    start = a;
    end = b;
  }
  const int64_t few = 64;
  pool_.run((all + few - 1) / few, [&](int64_t task, int) {
    const int64_t a = task * few, b = std::min(all, a + few);
    fine_.activate(source, start, end, x.channels(), slope, begin + a, begin + b, active + a * words);
  });
  float *y = products_.as<float>();
  const int64_t part = whole_blocks(
      std::min<int64_t>(256, (rows + pool_.threads() - 1) / pool_.threads()));
  pool_.run((rows + part - 1) / part, [&](int64_t task, int) {
    const int64_t a = task * part, n = std::min(rows, a + part) - a;
    fine_.taps(active + a * words, words, w.taps, 1, w.weights.as<void>(), w.bias.data(),
            y + a * w.outputs, w.outputs, n, w.inputs, w.outputs);
  });
  return y;
}

}  // namespace hifigan
