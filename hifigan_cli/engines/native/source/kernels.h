// The table of functions that each instruction set provides. Each `isa_*.cpp` fills one; `api.cpp`
// selects one.
//
// Tensors are rows of channels, [time][channel]. Row t of a tensor that starts at time `start` is at
// `data + (t - start) * channels`. Rows outside [start, end) are zero padding.
#pragma once
#include <cstdint>

namespace hifigan {

// y[t] = bias + sum over taps k of W[k] leaky(x[t + k * dilation - pad]) (+ residual[t]) (+ y[t]),
// for t in [from, to). As many output channels as input channels.
struct Convolution {
  const float *x;
  int64_t x_start, x_end;
  const float *residual;  // or null
  int64_t residual_start;
  float *y;
  int64_t y_start;
  int64_t from, to;
  int channels, kernel_size, dilation;
  bool add;  // add to y instead of overwriting it
  float slope;
  const float *bias;
  const void *weights;
};

// One transform length for one kernel size: `points` matrix products yield `outputs` samples of
// each channel.
struct Transform {
  int length, kernel_size, outputs, points;
  void (*forward)(const Convolution &, void *spectrum, int64_t row_stride, int64_t point_stride,
                  int64_t first, int64_t last);
  void (*inverse)(const Convolution &, const float *product, int64_t row_stride,
                  int64_t point_stride, int64_t first, int64_t last);
};

// Convolution in the frequency domain: transforms and products of spectra, in one number format.
struct FrequencyDomainKernels {
  const char *name;
  const Transform *transforms;
  int transform_count;
  // 32-bit words of a row of `channels`, and of a weight panel with `channels` inputs.
  int64_t (*row_words)(int channels);
  int64_t (*panel_words)(int channels);
  // y[r] = x[r] W for r in [0, rows), W packed in panels.
  void (*multiply)(const void *x, int64_t x_stride, const void *weights, float *y,
                   int64_t y_stride, int64_t rows, int inputs, int outputs);
  // Converts a panel of float32 weights, [input][output]; null if the format is float32.
  void (*quantize)(const float *filters, int inputs, void *out);
};

// The kernels in float32.
struct KernelTable {
  FrequencyDomainKernels frequency_domain;
  int panel;       // output channels that a product computes at once
  int block_rows;  // rows that a product computes at once

  // y[r] = bias + sum over taps of x[r + tap * dilation] W[tap], `outputs` floats each.
  void (*fir)(const float *x, int64_t x_stride, int taps, int dilation, const float *weights,
              const float *bias, float *y, int64_t y_stride, int64_t rows, int inputs, int outputs);
  // Computes a `Convolution` from rows that are already activated.
  void (*direct)(const Convolution &, const float *active, int64_t first, int64_t last);
  // Applies leaky ReLU to rows [from, to) of x, which are zero outside it.
  void (*activate)(const float *x, int64_t x_start, int64_t x_end, int channels, float slope,
                   int64_t from, int64_t to, float *y);
  // out[p] = sum over taps of g[p][tap] filters[tap]. Each is a panel of outputs of one input; points
  // are `point_stride` floats apart.
  void (*transform_filters)(const float *filters, const float *g, int points, int kernel_size,
                            float *out, int64_t point_stride);
  // Channels first: channel c of x is at x + c * x_stride, already activated and padded, and readable
  // for one vector past its end. Weights: [output][input][tap] in float32.
  void (*planar)(const float *x, int64_t x_stride, const float *weights, const float *bias,
                 const float *residual, int64_t residual_stride, float *y, int64_t y_stride,
                 bool add, int64_t samples, int channels, int kernel_size, int dilation);
};

}  // namespace hifigan
