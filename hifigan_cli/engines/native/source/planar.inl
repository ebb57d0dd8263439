// Convolution of few channels, channels first: a vector holds consecutive samples.

// Computes OUTPUTS channels of WIDTH vectors of samples.
template <int OUTPUTS, int WIDTH>
HG_INLINE void planar_block(const float *x, int64_t x_stride, const float *weights,
                            const float *bias, const float *residual, int64_t residual_stride,
                            float *y, int64_t y_stride, bool add, int inputs, int kernel_size,
                            int dilation) {
  vf a[OUTPUTS][WIDTH];
  unroll<OUTPUTS>([&](auto o) HG_INLINE_LAMBDA {
    unroll<WIDTH>([&](auto v) HG_INLINE_LAMBDA { a[o][v] = vf{} + bias[o]; });
  });
  const int64_t filter = int64_t(inputs) * kernel_size;
  for (int i = 0; i < inputs; i++)
    for (int k = 0; k < kernel_size; k++) {
      const float *p = x + i * x_stride + int64_t(k) * dilation;
      vf in[WIDTH];
      unroll<WIDTH>([&](auto v) HG_INLINE_LAMBDA { in[v] = load(p + v * L); });
      unroll<OUTPUTS>([&](auto o) HG_INLINE_LAMBDA {
        const float w = weights[o * filter + i * kernel_size + k];
        unroll<WIDTH>([&](auto v) HG_INLINE_LAMBDA { a[o][v] += w * in[v]; });
      });
    }
  unroll<OUTPUTS>([&](auto o) HG_INLINE_LAMBDA {
    unroll<WIDTH>([&](auto v) HG_INLINE_LAMBDA {
      float *p = y + o * y_stride + v * L;
      if (residual) a[o][v] += load(residual + o * residual_stride + v * L);
      if (add) a[o][v] += load(p);
      store(p, a[o][v]);
    });
  });
}

template <int OUTPUTS>
HG_INLINE void planar_outputs(const float *x, int64_t x_stride, const float *weights,
                              const float *bias, const float *residual, int64_t residual_stride,
                              float *y, int64_t y_stride, bool add, int64_t samples, int inputs,
                              int kernel_size, int dilation) {
  constexpr int WIDTH = HG_PLANAR_VECTORS;
  int64_t t = 0;
  for (; t + WIDTH * L <= samples; t += WIDTH * L)
    planar_block<OUTPUTS, WIDTH>(x + t, x_stride, weights, bias, residual ? residual + t : nullptr,
                                residual_stride, y + t, y_stride, add, inputs, kernel_size,
                                 dilation);
  for (; t + L <= samples; t += L)
    planar_block<OUTPUTS, 1>(x + t, x_stride, weights, bias, residual ? residual + t : nullptr,
                             residual_stride, y + t, y_stride, add, inputs, kernel_size, dilation);
  if (t == samples) return;
  float rest[OUTPUTS * L];  // the last partial vector: only its valid samples are stored
  planar_block<OUTPUTS, 1>(x + t, x_stride, weights, bias, nullptr, 0, rest, L, false, inputs,
                           kernel_size, dilation);
  for (int o = 0; o < OUTPUTS; o++)
    for (int64_t i = t; i < samples; i++) {
      float *p = y + o * y_stride + i;
      const float extra = (residual ? residual[o * residual_stride + i] : 0.f) + (add ? *p : 0.f);
      *p = rest[o * L + i - t] + extra;
    }
}

static void planar(const float *x, int64_t x_stride, const float *weights, const float *bias,
                   const float *residual, int64_t residual_stride, float *y, int64_t y_stride,
                   bool add, int64_t samples, int channels, int kernel_size, int dilation) {
  int o = 0;
  const int64_t filter = int64_t(channels) * kernel_size;
  auto run = [&](auto outputs) HG_INLINE_LAMBDA {
    planar_outputs<decltype(outputs)::value>(
        x, x_stride, weights + o * filter, bias + o,
        residual ? residual + o * residual_stride : nullptr, residual_stride, y + o * y_stride,
        y_stride, add, samples, channels, kernel_size, dilation);
    o += decltype(outputs)::value;
  };
  while (o + HG_PLANAR_OUTPUTS <= channels) run(std::integral_constant<int, HG_PLANAR_OUTPUTS>{});
  while (o < channels) run(std::integral_constant<int, 1>{});
}
