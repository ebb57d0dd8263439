// The native library with one more function, a single convolution, for `native_cases.py`.
#include "../../hifigan_cli/engines/native/source/api.cpp"

// Input and output are rows of channels. length: that of the transform; 0: none; -1: automatic.
HG_API int hifigan_convolve(const char *kernels, int threads, int channels, int kernel_size,
                            int dilation, int length, const float *w, const float *bias,
                            float slope, const float *x, int64_t rows, const float *residual,
                            int add, float *y) {
  return catch_errors([&] {
    const KernelSet set = require_kernels(kernels);
    ThreadPool pool(threads);
    ConvolutionWeights weights =
        pack_convolution(set, pool, channels, kernel_size, dilation, w, bias, length);
    const bool planar = weights.method == Method::planar;
    auto copy = [&](const float *from) {
      RowBuffer buffer(channels, planar);
      buffer.extend(rows, 0);
      for (int64_t t = 0; t < rows; t++)
        for (int c = 0; c < channels; c++)
          buffer.at(t)[planar ? c * buffer.stride() : c] = from[t * channels + c];
      return buffer;
    };
    RowBuffer tx = copy(x), ty = copy(y), tr = copy(residual ? residual : x);
    Convolver(*set.kernels, pool)
        .run(weights, tx, residual ? &tr : nullptr, ty, 0, rows, add != 0, slope);
    for (int64_t t = 0; t < rows; t++)
      for (int c = 0; c < channels; c++)
        y[t * channels + c] = ty.at(t)[planar ? c * ty.stride() : c];
  });
}
