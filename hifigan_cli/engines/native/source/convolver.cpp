#include "convolver.h"

#include <algorithm>

namespace hifigan {

namespace {

constexpr size_t THREAD_BYTES = size_t(1) << 19;  // max. size of spectrum and product of a thread
constexpr size_t SHARED_BYTES = size_t(6) << 20;  // max. size of both when threads share them
constexpr int64_t POINT_PADDING = 16;  // words after a point: points do not share a cache set

// Returns the size of nearly equal groups of at most `max_size`, whose number is a multiple of
// `workers`.
int64_t group_size(int64_t items, int64_t max_size, int64_t workers) {
  int64_t groups = (items + max_size - 1) / max_size;
  groups = (groups + workers - 1) / workers * workers;
  return std::max<int64_t>(1, (items + groups - 1) / groups);
}

}  // namespace

void Convolver::run(const ConvolutionWeights &w, const RowBuffer &x, const RowBuffer *residual,
                    RowBuffer &y, int64_t from, int64_t to, bool add, float slope) {
  if (from >= to) return;
  if (w.method == Method::planar) {
    run_planar(w, x, residual, y, from, to, add, slope);
    return;
  }
  const Convolution c{x.at(x.start()), x.start(), x.end(),
                      residual ? residual->at(residual->start()) : nullptr,
                      residual ? residual->start() : 0,
                      y.at(y.start()), y.start(), from, to, w.channels, w.kernel_size, w.dilation,
                      add, slope, w.bias.data(), w.weights.as<void>()};
  if (w.method == Method::transform)
    run_transform(w, c);
  else
    run_direct(w, c);
}

void Convolver::run_transform(const ConvolutionWeights &w, const Convolution &c) {
  const int64_t phase = (c.to - c.from + c.dilation - 1) / c.dilation;
  const int64_t tiles = (phase + w.transform->outputs - 1) / w.transform->outputs * c.dilation;
  if (w.channels >= MIN_SHARED_CHANNELS)
    run_transform_shared(w, c, tiles);
  else
    run_transform_per_thread(w, c, tiles);
}

void Convolver::run_transform_per_thread(const ConvolutionWeights &w, const Convolution &c,
                                         int64_t tiles) {
  const Transform &t = *w.transform;
  const int64_t words = w.frequency_domain->row_words(w.channels);
  const size_t block_bytes = size_t(t.points) * (words + w.channels) * 4 * kernels_.block_rows;
  const int64_t max_blocks = std::max<int64_t>(1, THREAD_BYTES / block_bytes);
  const int64_t group = group_size(tiles, max_blocks * kernels_.block_rows, pool_.threads());
  const int64_t spectrum_stride = group * words + POINT_PADDING;
  const int64_t product_stride = group * w.channels + POINT_PADDING;
  pool_.run((tiles + group - 1) / group, [&](int64_t task, int thread) {
    ThreadBuffers &buffers = buffers_[thread];
    buffers.spectrum.reserve(size_t(t.points) * spectrum_stride * 4 + 64);
    buffers.product.reserve(size_t(t.points) * product_stride * 4 + 64);
    uint32_t *spectrum = buffers.spectrum.as<uint32_t>();
    float *product = buffers.product.as<float>();
    const int64_t first = task * group, last = std::min(tiles, first + group);
    t.forward(c, spectrum, words, spectrum_stride, first, last);
    for (int p = 0; p < t.points; p++)
      w.frequency_domain->multiply(spectrum + p * spectrum_stride, words,
                                   w.weights.as<uint32_t>() + p * point_words(w),
                                   product + p * product_stride, w.channels, last - first,
                                   w.channels, w.channels);
    t.inverse(c, product, w.channels, product_stride, first, last);
  });
}

void Convolver::run_transform_shared(const ConvolutionWeights &w, const Convolution &c,
                                     int64_t tiles) {
  const Transform &t = *w.transform;
  const int64_t words = w.frequency_domain->row_words(w.channels);
  const size_t row_bytes = size_t(t.points) * (words + w.channels) * 4;
  const int64_t max_rows = std::max<int64_t>(kernels_.block_rows, SHARED_BYTES / row_bytes);
  const int64_t group = group_size(tiles, max_rows, 1);
  const int64_t spectrum_stride = group * words + POINT_PADDING;
  const int64_t product_stride = group * w.channels + POINT_PADDING;
  shared_spectrum_.reserve(size_t(t.points) * spectrum_stride * 4 + 64);
  shared_product_.reserve(size_t(t.points) * product_stride * 4 + 64);
  uint32_t *spectrum = shared_spectrum_.as<uint32_t>();
  float *product = shared_product_.as<float>();
  for (int64_t first = 0; first < tiles; first += group) {
    const int64_t last = std::min(tiles, first + group), tiles_per_task = 4;
    const int64_t parts = (last - first + tiles_per_task - 1) / tiles_per_task;
    pool_.run(parts, [&](int64_t part, int) {
      const int64_t a = first + part * tiles_per_task, b = std::min(last, a + tiles_per_task);
      t.forward(c, spectrum + (a - first) * words, words, spectrum_stride, a, b);
    });
    pool_.run(t.points, [&](int64_t p, int) {
      w.frequency_domain->multiply(spectrum + p * spectrum_stride, words,
                                   w.weights.as<uint32_t>() + p * point_words(w),
                                   product + p * product_stride, w.channels, last - first,
                                   w.channels, w.channels);
    });
    pool_.run(parts, [&](int64_t part, int) {
      const int64_t a = first + part * tiles_per_task, b = std::min(last, a + tiles_per_task);
      t.inverse(c, product + (a - first) * w.channels, w.channels, product_stride, a, b);
    });
  }
}

// In the functions below each thread activates the inputs of its part of the outputs and then sums
// the taps. The inputs of neighboring parts overlap, which costs less than a barrier in between.

void Convolver::run_direct(const ConvolutionWeights &w, const Convolution &c) {
  const int64_t rows = c.to - c.from;
  const int64_t span = (w.kernel_size - 1) * int64_t(w.dilation);
  const int64_t part = group_size(rows, 512, pool_.threads());
  pool_.run((rows + part - 1) / part, [&](int64_t task, int thread) {
    Convolution slice = c;
    slice.from = c.from + task * part;
    slice.to = std::min(c.to, slice.from + part);
    const int64_t begin = slice.from - w.pad(), inputs = slice.to - slice.from + span;
    const size_t size = size_t(round_up_to_blocks(inputs) + kernels_.block_rows) * w.channels;
    float *active = active_buffer(thread, size);
    kernels_.activate(c.x, c.x_start, c.x_end, w.channels, c.slope, begin, begin + inputs, active);
    kernels_.direct(slice, active, 0, slice.to - slice.from);
  });
}

void Convolver::run_planar(const ConvolutionWeights &w, const RowBuffer &x,
                           const RowBuffer *residual, RowBuffer &y, int64_t from, int64_t to,
                           bool add, float slope) {
  const int64_t span = (w.kernel_size - 1) * int64_t(w.dilation);
  const int64_t block = 48;  // a multiple of the vector size
  const int64_t part = (group_size(to - from, 768, pool_.threads()) + block - 1) / block * block;
  pool_.run((to - from + part - 1) / part, [&](int64_t task, int thread) {
    const int64_t first = from + task * part, last = std::min(to, first + part);
    const int64_t begin = first - w.pad(), length = last - first + span;
    const int64_t stride = (length + 31) / 16 * 16;
    float *active = active_buffer(thread, size_t(w.channels) * stride);
    // Of the inputs only [a, b) exist; the rest is padding.
    const int64_t a = std::clamp(x.start() - begin, int64_t(0), length);
    const int64_t b = std::clamp(x.end() - begin, a, length);
    for (int channel = 0; channel < w.channels; channel++) {
      float *out = active + channel * stride;
      const float *in = x.at(begin) + channel * x.stride();
      std::fill(out, out + a, 0.f);
      for (int64_t t = a; t < b; t++) out[t] = std::max(in[t], in[t] * slope);
      std::fill(out + b, out + length, 0.f);
    }
    kernels_.planar(active, stride, w.weights.as<float>(), w.bias.data(),
                    residual ? residual->at(first) : nullptr, residual ? residual->stride() : 0,
                    y.at(first), y.stride(), add, last - first, w.channels, w.kernel_size,
                    w.dilation);
  });
}

const float *Convolver::fir(const FirWeights &w, const RowBuffer &x, float slope, int64_t from,
                            int64_t to) {
  const int64_t rows = to - from, before = w.taps - 1;
  fir_output_.reserve(size_t(rows + kernels_.block_rows * (pool_.threads() + 1)) * w.outputs * 4);
  float *y = fir_output_.as<float>();
  // Parts are multiples of a block, so that no part writes into the next one.
  const int64_t part = round_up_to_blocks(group_size(rows, 256, pool_.threads()));
  pool_.run((rows + part - 1) / part, [&](int64_t task, int thread) {
    const int64_t first = task * part, count = std::min(rows - first, part);
    const int64_t begin = from + first - before, inputs = count + before;
    const size_t size = size_t(round_up_to_blocks(inputs) + kernels_.block_rows) * w.inputs;
    const size_t gathered = x.planar() ? size_t(inputs) * x.channels() : 0;
    float *active = active_buffer(thread, size + gathered);
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
    kernels_.activate(source, start, end, x.channels(), slope, begin, begin + inputs, active);
    kernels_.fir(active, w.inputs, w.taps, 1, w.weights.as<float>(), w.bias.data(),
                 y + first * w.outputs, w.outputs, count, w.inputs, w.outputs);
  });
  return y;
}

int64_t Convolver::point_words(const ConvolutionWeights &w) const {
  return w.frequency_domain->panel_words(w.channels) * (w.channels / kernels_.panel);
}

float *Convolver::active_buffer(int thread, size_t floats) {
  buffers_[thread].active.reserve(floats * sizeof(float) + 64);
  return buffers_[thread].active.as<float>();
}

}  // namespace hifigan
