#include "weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

namespace hifigan {

namespace {

// The transforms of a filter of `kernel` taps, as the three factors of each complex product (see
// kernels.inl), with the inverse's 1 / length: [points][kernel].
std::vector<float> filter_transform(const Transform &t) {
  std::vector<float> g(size_t(t.points) * t.kernel);
  const double turn = 2 * 3.14159265358979323846 / t.length;
  for (int k = 0; k < t.kernel; k++) {
    auto put = [&](int point, double value) { g[point * t.kernel + k] = float(value / t.length); };
    put(0, 1);
    for (int j = 1; j < t.length / 2; j++) {
      // Two of each frequency: the inverse of real signals adds the conjugate by itself.
      const double re = std::cos(turn * j * k), im = std::sin(turn * j * k);
      put(3 * j - 2, re);
      put(3 * j - 1, im - re);
      put(3 * j, re + im);
    }
    put(t.points - 1, k % 2 ? -1 : 1);
  }
  return g;
}

// The length of transform that suits a convolution; 0: taps.
int suitable_length(int channels, int kernel) {
  // Measured: long transforms need fewer multiplications for each output and more weights, which
  // tells where the channels, and so the weights, are many.
  if (kernel == 3) return channels >= 256 ? 8 : 16;
  if (kernel == 5) return 16;
  if (kernel == 7) return channels >= 128 ? 16 : 32;
  return kernel == 11 ? 32 : 0;
}

const Transform *find_transform(const Products &products, int kernel, int length) {
  for (int i = 0; i < products.transform_count; i++)
    if (products.transforms[i].length == length && products.transforms[i].kernel == kernel)
      return &products.transforms[i];
  return nullptr;
}

// Fewer channels gain nothing, and the last stage's rounding is heard in every sample.
constexpr int REDUCED_CHANNELS = 64;

// A panel of outputs of one input after another: `use(filters, input)` takes [tap][panel].
template <class Use>
void each_input(const ConvolutionWeights &c, const float *w, int panel, int size, int from, int to,
                Use use) {
  std::vector<float> filters(size_t(c.kernel) * size);
  for (int input = from; input < to; input++) {
    for (int lane = 0; lane < size; lane++) {
      const float *taps = w + (int64_t(panel * size + lane) * c.channels + input) * c.kernel;
      for (int k = 0; k < c.kernel; k++) filters[size_t(k) * size + lane] = taps[k];
    }
    use(filters.data(), input);
  }
}

// Transforms: [point][panel][...] in the format of products.
void pack_transforms(const Kernels &k, Pool &pool, const float *w, ConvolutionWeights &c) {
  const std::vector<float> g = filter_transform(*c.transform);
  const int points = c.transform->points, panels = c.channels / k.panel;
  const int64_t panel_words = c.products->panel_words(c.channels);
  const int64_t point_words = panel_words * panels;
  c.weights.reserve(size_t(points) * point_words * 4);
  float *out = c.weights.as<float>();
  if (c.products->quantise) {
    pool.run(panels, [&](int64_t panel, int) {
      const int64_t size = int64_t(c.channels) * k.panel;
      std::vector<float> transformed(size_t(points) * size);
      each_input(c, w, int(panel), k.panel, 0, c.channels, [&](const float *filters, int input) {
        k.transform_filters(filters, g.data(), points, c.kernel, transformed.data() + input * k.panel, size);
      });
      for (int p = 0; p < points; p++)
        c.products->quantise(transformed.data() + p * size, c.channels,
                             out + p * point_words + panel * panel_words);
    });
    return;
  }
  const int parts = 4;  // of a panel, so that there are tasks enough for all threads
  pool.run(int64_t(panels) * parts, [&](int64_t task, int) {
    const int panel = int(task / parts), part = int(task % parts);
    each_input(c, w, panel, k.panel, c.channels * part / parts, c.channels * (part + 1) / parts,
               [&](const float *filters, int input) {
                 k.transform_filters(filters, g.data(), points, c.kernel,
                        out + panel * panel_words + int64_t(input) * k.panel, point_words);
               });
  });
}

// Taps: [panel][tap][input][lane].
void pack_direct(const Kernels &k, const float *w, ConvolutionWeights &c) {
  const int64_t tap_stride = int64_t(c.channels) * k.panel;
  c.weights.reserve(size_t(c.channels) * c.channels * c.kernel * sizeof(float));
  for (int panel = 0; panel < c.channels / k.panel; panel++)
    each_input(c, w, panel, k.panel, 0, c.channels, [&](const float *filters, int input) {
      float *out = c.weights.as<float>() + panel * c.kernel * tap_stride + input * k.panel;
      for (int tap = 0; tap < c.kernel; tap++)
        std::copy_n(filters + tap * k.panel, k.panel, out + tap * tap_stride);
    });
}

}  // namespace

ConvolutionWeights pack_convolution(const KernelSet &set, Pool &pool, int channels,
                                    int kernel, int dilation, const float *w, const float *bias,
                                    int length) {
  const Kernels &k = *set.kernels;
  ConvolutionWeights result;
  result.channels = channels;
  result.kernel = kernel;
  result.dilation = dilation;
  result.bias.assign(bias, bias + channels);
  if (channels % k.panel) {
    result.way = Way::planar;
    const size_t bytes = size_t(channels) * channels * kernel * sizeof(float);
    result.weights.reserve(bytes);
    std::memcpy(result.weights.as<float>(), w, bytes);
    return result;
  }
  const bool reduced = set.reduced && channels >= REDUCED_CHANNELS;
  result.products = reduced ? set.reduced : &k.products;
  const int wanted = length < 0 ? suitable_length(channels, kernel) : length;
  result.transform = find_transform(*result.products, kernel, wanted);
  if (length > 0 && !result.transform) throw std::invalid_argument("no such transform");
  if (result.transform) {
    result.way = Way::transform;
    pack_transforms(k, pool, w, result);
  } else {
    pack_direct(k, w, result);
  }
  return result;
}

}  // namespace hifigan
