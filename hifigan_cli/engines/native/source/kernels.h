// What the network asks of an instruction set: a table of functions. One table is filled by each
// `isa_*.cpp`; `api.cpp` chooses.
//
// Tensors are rows of channels, [time][channel]. Row t of a tensor that begins at time `start` lies
// at `data + (t - start) * channels`. Rows outside [start, end) are zero: they are the padding.
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
  int channels, kernel, dilation;
  bool add;  // to what y holds
  float slope;
  const float *bias;
  const void *weights;
};

// One length of transform for one length of kernel: `points` products of matrices make `outputs`
// samples of each channel.
struct Transform {
  int length, kernel, outputs, points;
  void (*forward)(const Convolution &, void *spectrum, int64_t row_stride, int64_t point_stride,
                  int64_t first, int64_t last);
  void (*inverse)(const Convolution &, const float *product, int64_t row_stride,
                  int64_t point_stride, int64_t first, int64_t last);
};

// Transforms, and products of their spectra, in one format of numbers.
struct Products {
  const char *name;
  const Transform *transforms;
  int transform_count;
  // Words of 32 bits that a row of so many channels takes, and a panel of so many inputs.
  int64_t (*row_words)(int channels);
  int64_t (*panel_words)(int channels);
  // y[r] = x[r] W for r in [0, rows), W packed in panels.
  void (*multiply)(const void *x, int64_t x_stride, const void *weights, float *y,
                   int64_t y_stride, int64_t rows, int inputs, int outputs);
  // A panel of weights in float32, [input][output], into the format of products; null: it is that.
  void (*quantise)(const float *filters, int inputs, void *out);
};

// All in float32.
struct Kernels {
  Products products;
  int panel;       // output channels that a product makes at once
  int block_rows;  // rows that a product makes at once

  // y[r] = bias + sum over taps of x[r + tap * dilation] W[tap], `outputs` floats each.
  void (*taps)(const float *x, int64_t x_stride, int taps, int dilation, const float *weights,
               const float *bias, float *y, int64_t y_stride, int64_t rows, int inputs,
               int outputs);
  // The same convolution as `Convolution`, from rows that are activated already.
  void (*direct)(const Convolution &, const float *active, int64_t first, int64_t last);
  // Rows [from, to) of x, zero outside it, through leaky ReLU.
  void (*activate)(const float *x, int64_t x_start, int64_t x_end, int channels, float slope,
                   int64_t from, int64_t to, float *y);
  // out[p] = sum over taps of g[p][tap] filters[tap], a panel of outputs of one input each,
  // `point_stride` floats apart.
  void (*transform_filters)(const float *filters, const float *g, int points, int kernel, float *out,
               int64_t point_stride);
  // Channels first: channel c of x at x + c * x_stride, activated and padded already, readable for a
  // vector beyond what is needed; weights [output][input][tap] in float32.
  void (*planar)(const float *x, int64_t x_stride, const float *weights, const float *bias,
                 const float *residual, int64_t residual_stride, float *y, int64_t y_stride,
                 bool add, int64_t samples, int channels, int kernel, int dilation);
};

}  // namespace hifigan
