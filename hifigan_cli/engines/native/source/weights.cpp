#include "weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace hifigan {

namespace {

// Returns the matrix that transforms a filter of `kernel_size` taps, as the three factors of each
// complex product (see transforms.inl), with the inverse's 1 / length: [points][kernel_size].
std::vector<float> transform_matrix(const Transform &t) {
  std::vector<float> g(size_t(t.points) * t.kernel_size);
  const double turn = 2 * 3.14159265358979323846 / t.length;
  for (int k = 0; k < t.kernel_size; k++) {
    auto set_point = [&](int point, double value) {
      g[point * t.kernel_size + k] = float(value / t.length);
    };
    set_point(0, 1);
    for (int j = 1; j < t.length / 2; j++) {
      // The inverse of real signals adds the conjugate, so each frequency needs no factor of two.
      const double re = std::cos(turn * j * k), im = std::sin(turn * j * k);
      set_point(3 * j - 2, re);
      set_point(3 * j - 1, im - re);
      set_point(3 * j, re + im);
    }
    set_point(t.points - 1, k % 2 ? -1 : 1);
  }
  return g;
}

// Returns the best transform length for a convolution; 0: no transform.
int transform_length(int channels, int kernel_size) {
  // Measured: long transforms need fewer multiplications per output but more weights, which costs
  // more when there are many channels.
  if (kernel_size == 3) return channels >= 256 ? 8 : 16;
  if (kernel_size == 5) return 16;
  if (kernel_size == 7) return channels >= 128 ? 16 : 32;
  return kernel_size == 11 ? 32 : 0;
}

const Transform *find_transform(const FrequencyDomainKernels &kernels, int kernel_size, int length) {
  for (int i = 0; i < kernels.transform_count; i++) {
    const Transform &transform = kernels.transforms[i];
    if (transform.length == length && transform.kernel_size == kernel_size) return &transform;
  }
  return nullptr;
}

// int16 is not faster in layers with fewer channels, and rounding in the last stage goes directly
// into the output.
constexpr int MIN_INT16_CHANNELS = 64;

// Calls `pack(filters, input)` for each input of a panel of outputs; filters are [tap][panel].
template <class Pack>
void for_each_input(const ConvolutionWeights &c, const float *w, int panel, int size, int from,
                    int to, Pack pack) {
  std::vector<float> filters(size_t(c.kernel_size) * size);
  for (int input = from; input < to; input++) {
    for (int lane = 0; lane < size; lane++) {
      const float *taps = w + (int64_t(panel * size + lane) * c.channels + input) * c.kernel_size;
      for (int k = 0; k < c.kernel_size; k++) filters[size_t(k) * size + lane] = taps[k];
    }
    pack(filters.data(), input);
  }
}

// Transforms: [point][panel][...] in the format of the frequency-domain kernels.
void pack_transforms(const KernelTable &k, ThreadPool &pool, const float *w, ConvolutionWeights &c) {
  const std::vector<float> g = transform_matrix(*c.transform);
  const int points = c.transform->points, panels = c.channels / k.panel;
  const int64_t panel_words = c.frequency_domain->panel_words(c.channels);
  const int64_t point_words = panel_words * panels;
  c.weights.reserve(size_t(points) * point_words * 4);
  float *out = c.weights.as<float>();
  if (c.frequency_domain->quantize) {
    pool.run(panels, [&](int64_t panel, int) {
      const int64_t size = int64_t(c.channels) * k.panel;
      std::vector<float> transformed(size_t(points) * size);
      for_each_input(c, w, int(panel), k.panel, 0, c.channels, [&](const float *filters, int input) {
        k.transform_filters(filters, g.data(), points, c.kernel_size,
                            transformed.data() + input * k.panel, size);
      });
      for (int p = 0; p < points; p++)
        c.frequency_domain->quantize(transformed.data() + p * size, c.channels,
                                     out + p * point_words + panel * panel_words);
    });
    return;
  }
  const int parts = 4;  // per panel, so that there are enough tasks for all threads
  pool.run(int64_t(panels) * parts, [&](int64_t task, int) {
    const int panel = int(task / parts), part = int(task % parts);
    for_each_input(c, w, panel, k.panel, c.channels * part / parts, c.channels * (part + 1) / parts,
                   [&](const float *filters, int input) {
                     k.transform_filters(filters, g.data(), points, c.kernel_size,
                                         out + panel * panel_words + int64_t(input) * k.panel,
                                         point_words);
                   });
  });
}

// Taps: [panel][tap][input][lane].
void pack_direct(const KernelTable &k, const float *w, ConvolutionWeights &c) {
  const int64_t tap_stride = int64_t(c.channels) * k.panel;
  c.weights.reserve(size_t(c.channels) * c.channels * c.kernel_size * sizeof(float));
  for (int panel = 0; panel < c.channels / k.panel; panel++)
    for_each_input(c, w, panel, k.panel, 0, c.channels, [&](const float *filters, int input) {
      float *out = c.weights.as<float>() + panel * c.kernel_size * tap_stride + input * k.panel;
      for (int tap = 0; tap < c.kernel_size; tap++)
        std::copy_n(filters + tap * k.panel, k.panel, out + tap * tap_stride);
    });
}

}  // namespace

ConvolutionWeights pack_convolution(const KernelSet &set, ThreadPool &pool, int channels,
                                    int kernel_size, int dilation, const float *w, const float *bias,
                                    int length) {
  const KernelTable &k = *set.kernels;
  ConvolutionWeights result;
  result.channels = channels;
  result.kernel_size = kernel_size;
  result.dilation = dilation;
  result.bias.assign(bias, bias + channels);
  if (channels % k.panel) {
    result.method = Method::planar;
    const size_t bytes = size_t(channels) * channels * kernel_size * sizeof(float);
    result.weights.reserve(bytes);
    std::memcpy(result.weights.as<float>(), w, bytes);
    return result;
  }
  const bool int16 = set.int16 && channels >= MIN_INT16_CHANNELS;
  result.frequency_domain = int16 ? set.int16 : &k.frequency_domain;
  const int requested = length < 0 ? transform_length(channels, kernel_size) : length;
  result.transform = find_transform(*result.frequency_domain, kernel_size, requested);
  if (length > 0 && !result.transform) throw std::invalid_argument("unsupported transform length");
  if (result.transform) {
    result.method = Method::transform;
    pack_transforms(k, pool, w, result);
  } else {
    pack_direct(k, w, result);
  }
  return result;
}

}  // namespace hifigan
