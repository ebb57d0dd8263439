#include "weights.h"

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

}  // namespace

const Transform *choose_transform(const Kernels &k, int channels, int kernel) {
  // Measured: long transforms need fewer multiplications for each output and more weights, which
  // tells where the channels, and so the weights, are many.
  int length = 0;
  if (kernel == 3) length = channels >= 256 ? 8 : 16;
  else if (kernel == 5) length = 16;
  else if (kernel == 7) length = channels >= 128 ? 16 : 32;
  else if (kernel == 11) length = 32;
  for (int i = 0; i < k.transform_count; i++)
    if (k.transforms[i].length == length && k.transforms[i].kernel == kernel)
      return &k.transforms[i];
  return nullptr;
}

ConvolutionWeights pack_convolution(const Kernels &k, Pool &pool, int channels, int kernel,
                                    int dilation, const float *w, const float *bias, int length) {
  ConvolutionWeights result;
  result.channels = channels;
  result.kernel = kernel;
  result.dilation = dilation;
  result.bias.assign(bias, bias + channels);
  if (channels % k.panel) {
    result.way = Way::planar;
    result.weights.reserve(size_t(channels) * channels * kernel * 4);
    std::memcpy(result.weights.as<float>(), w, size_t(channels) * channels * kernel * 4);
    return result;
  }
  const Transform *transform = nullptr;
  if (length < 0) transform = choose_transform(k, channels, kernel);
  for (int i = 0; length > 0 && i < k.transform_count; i++)
    if (k.transforms[i].length == length && k.transforms[i].kernel == kernel)
      transform = &k.transforms[i];
  if (length > 0 && !transform) throw std::invalid_argument("no such transform");
  result.transform = transform;
  result.way = transform ? Way::transform : Way::direct;
  // Taps are the transform of length 1: each is its own point.
  std::vector<float> g;
  const int points = transform ? transform->points : kernel;
  if (transform) {
    g = filter_transform(*transform);
  } else {
    g.assign(size_t(kernel) * kernel, 0.f);
    for (int i = 0; i < kernel; i++) g[i * kernel + i] = 1;
  }
  const int pack = k.bf16 ? 2 : 1, words = channels / pack, panels = channels / k.panel;
  // Transforms: [point][panel][word][lane]. Taps: [panel][tap][word][lane].
  const int64_t row = int64_t(words) * k.panel;
  const int64_t point_stride = transform ? row * panels : row;
  const int64_t panel_stride = transform ? row : row * kernel;
  result.weights.reserve(size_t(points) * panels * row * 4);
  float *out = result.weights.as<float>();
  const int parts = 4;
  pool.run(int64_t(panels) * parts, [&](int64_t task, int) {
    const int panel = int(task / parts), part = int(task % parts);
    std::vector<float> filters(size_t(pack) * kernel * k.panel);
    for (int word = words * part / parts; word < words * (part + 1) / parts; word++) {
      for (int lane = 0; lane < k.panel; lane++) {
        const float *from =
            w + (int64_t(panel * k.panel + lane) * channels + word * pack) * kernel;
        for (int i = 0; i < pack * kernel; i++) filters[size_t(i) * k.panel + lane] = from[i];
      }
      k.fold(filters.data(), g.data(), points, kernel,
             out + panel * panel_stride + int64_t(word) * k.panel, point_stride);
    }
  });
  return result;
}

}  // namespace hifigan
