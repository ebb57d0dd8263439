// The kernels, for whatever vectors the including file has set up: HG_LANES, and HG_BF16 or not.
// Included within a namespace of its own; standard headers come before it, outside the target region.

typedef float vf __attribute__((vector_size(HG_LANES * 4)));
typedef float vf_any __attribute__((vector_size(HG_LANES * 4), aligned(4), may_alias));

constexpr int L = HG_LANES;
constexpr int PANEL = 2 * L;      // output channels that a product makes at once: two vectors
constexpr int ROWS = HG_ROWS;     // rows at once; with two vectors each they fill the registers
#ifdef HG_BF16
typedef uint32_t word;            // two neighbouring channels as bfloat16
constexpr int PACK = 2;
#else
typedef float word;
constexpr int PACK = 1;
#endif

HG_INLINE vf load(const float *p) { return *(const vf_any *)p; }
HG_INLINE void store(float *p, vf v) { *(vf_any *)p = v; }
HG_INLINE vf leaky(vf v, float slope) { vf low = v * slope; return v > low ? v : low; }

template <int N, class F, int... I>
HG_INLINE void each_of(F f, std::integer_sequence<int, I...>) {
  (f(std::integral_constant<int, I>{}), ...);
}
template <int N, class F>
HG_INLINE void each(F f) {
  each_of<N>(f, std::make_integer_sequence<int, N>{});
}

#include "fourier.h"

// ---- Products of matrices -------------------------------------------------------------------

#ifdef HG_BF16
HG_INLINE void product_step(vf &a0, vf &a1, const word *x, const word *w) {
  __m512bh b = (__m512bh)_mm512_set1_epi32((int)*x);
  a0 = (vf)_mm512_dpbf16_ps((__m512)a0, b, (__m512bh)_mm512_loadu_si512(w));
  a1 = (vf)_mm512_dpbf16_ps((__m512)a1, b, (__m512bh)_mm512_loadu_si512(w + L));
}
HG_INLINE void store_words(word *p, vf v) {
  _mm256_storeu_si256((__m256i *)p, (__m256i)_mm512_cvtneps_pbh((__m512)v));
}
#else
HG_INLINE void product_step(vf &a0, vf &a1, const word *x, const word *w) {
  float b = *x;
  a0 += b * load(w);
  a1 += b * load(w + L);
}
HG_INLINE void store_words(word *p, vf v) { store(p, v); }
#endif

// total[r] += sum over k < n of x[r][k] w[k]: the innermost loop of everything but small networks.
//
// A sum of hundreds of terms in one float loses a digit or two, which the deep network makes much of.
// So CHAIN terms are summed by themselves and added to the total then.
constexpr int CHAIN = 64;

template <int R>
HG_INLINE void accumulate(vf (&total)[R][2], const word *x, int64_t x_stride, const word *w, int n) {
  for (int begin = 0; begin < n; begin += CHAIN) {
    vf a[R][2];
    each<R>([&](auto r) HG_INLINE_LAMBDA { a[r][0] = a[r][1] = vf{}; });
    const int end = std::min(n, begin + CHAIN);
    for (int k = begin; k < end; k++, w += PANEL)
      each<R>([&](auto r) HG_INLINE_LAMBDA {
        product_step(a[r][0], a[r][1], x + r * x_stride + k, w);
      });
    each<R>([&](auto r) HG_INLINE_LAMBDA {
      total[r][0] += a[r][0];
      total[r][1] += a[r][1];
    });
  }
}

template <int R>
static void multiply_rows(const word *x, int64_t x_stride, const word *w, float *y,
                          int64_t y_stride, int n) {
  vf total[R][2];
  each<R>([&](auto r) HG_INLINE_LAMBDA { total[r][0] = total[r][1] = vf{}; });
  accumulate<R>(total, x, x_stride, w, n);
  each<R>([&](auto r) HG_INLINE_LAMBDA {
    store(y + r * y_stride, total[r][0]);
    store(y + r * y_stride + L, total[r][1]);
  });
}

template <int... R>
constexpr auto multiply_table(std::integer_sequence<int, R...>) {
  return std::array{multiply_rows<R + 1>...};
}

static void multiply(const void *x_, int64_t x_stride, const void *weights, float *y,
                     int64_t y_stride, int64_t rows, int inputs, int outputs) {
  static constexpr auto by_rows = multiply_table(std::make_integer_sequence<int, ROWS>{});
  if (rows <= 0) return;
  const word *x = (const word *)x_;
  const int n = inputs / PACK;
  // Blocks of nearly equal size: none is left with a row or two.
  const int64_t blocks = (rows + ROWS - 1) / ROWS;
  for (int column = 0; column < outputs; column += PANEL) {
    const word *w = (const word *)weights + int64_t(column) * n;
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t first = rows * block / blocks, last = rows * (block + 1) / blocks;
      by_rows[last - first - 1](x + first * x_stride, x_stride, w, y + first * y_stride + column,
                                y_stride, n);
    }
  }
}

// Sum the taps of ROWS rows and hand them to `emit(r, v0, v1)`.
template <class Emit>
HG_INLINE void tap_block(const word *x, int64_t x_stride, int taps, int64_t tap_step,
                         const word *w, const float *bias, int inputs, Emit emit) {
  vf total[ROWS][2], b0 = load(bias), b1 = load(bias + L);
  each<ROWS>([&](auto r) HG_INLINE_LAMBDA { total[r][0] = b0; total[r][1] = b1; });
  const int n = inputs / PACK;
  for (int tap = 0; tap < taps; tap++)
    accumulate<ROWS>(total, x + tap * tap_step, x_stride, w + int64_t(tap) * n * PANEL, n);
  each<ROWS>([&](auto r) HG_INLINE_LAMBDA { emit(int(r), total[r][0], total[r][1]); });
}

static void taps(const void *x_, int64_t x_stride, int count, int dilation, const void *weights,
                 const float *bias, float *y, int64_t y_stride, int64_t rows, int inputs,
                 int outputs) {
  const word *x = (const word *)x_;
  const int64_t panel_words = int64_t(count) * (inputs / PACK) * PANEL;
  for (int column = 0; column < outputs; column += PANEL) {
    const word *w = (const word *)weights + column / PANEL * panel_words;
    for (int64_t row = 0; row < rows; row += ROWS)
      tap_block(x + row * x_stride, x_stride, count, dilation * x_stride, w, bias + column, inputs,
                [&](int r, vf v0, vf v1) HG_INLINE_LAMBDA {
                  float *p = y + (row + r) * y_stride + column;
                  store(p, v0);
                  store(p + L, v1);
                });
  }
}

// What becomes of a sum: the residual and, for the mean over blocks, what is there already.
HG_INLINE vf finished(const Convolution &c, int64_t t, int channel, vf v) {
  if (c.residual) v += load(c.residual + (t - c.residual_start) * c.channels + channel);
  if (c.add) v += load(c.y + (t - c.y_start) * c.channels + channel);
  return v;
}

// Rows [first, last) of [from, to); `active` begins with the first tap of row `from`.
static void direct(const Convolution &c, const void *active, int64_t first, int64_t last) {
  const int64_t stride = c.channels / PACK, rows = c.to - c.from;
  const int64_t panel_words = int64_t(c.kernel) * stride * PANEL;
  // Blocks of rows whose inputs stay in the cache while all panels pass.
  const int64_t group = std::max<int64_t>(1, 65536 / (int64_t(ROWS) * c.channels)) * ROWS;
  for (int64_t start = first; start < last; start += group)
    for (int column = 0; column < c.channels; column += PANEL) {
      const word *w = (const word *)c.weights + column / PANEL * panel_words;
      for (int64_t row = start; row < std::min(start + group, last); row += ROWS) {
        const int64_t valid = std::min<int64_t>(ROWS, std::min(last, rows) - row);
        tap_block((const word *)active + row * stride, stride, c.kernel, c.dilation * stride, w,
                  c.bias + column, c.channels, [&](int r, vf v0, vf v1) HG_INLINE_LAMBDA {
                    if (r >= valid) return;
                    int64_t t = c.from + row + r;
                    float *p = c.y + (t - c.y_start) * c.channels + column;
                    v0 = finished(c, t, column, v0);
                    v1 = finished(c, t, column + L, v1);
                    store(p, v0);
                    store(p + L, v1);
                  });
      }
    }
}

static void activate(const float *x, int64_t x_start, int64_t x_end, int channels, float slope,
                     int64_t from, int64_t to, void *y_) {
  word *y = (word *)y_;
  const int64_t stride = channels / PACK;
  for (int64_t t = from; t < to; t++, y += stride) {
    if (t < x_start || t >= x_end) {
      for (int c = 0; c < stride; c++) y[c] = 0;
      continue;
    }
    const float *row = x + (t - x_start) * channels;
    int c = 0;
    for (; c + L <= channels; c += L) store_words(y + c / PACK, leaky(load(row + c), slope));
#ifdef HG_BF16
    for (; c < channels; c += 2) {
      __m128 pair = _mm_setr_ps(row[c], c + 1 < channels ? row[c + 1] : 0.f, 0.f, 0.f);
      pair = _mm_max_ps(pair, _mm_mul_ps(pair, _mm_set1_ps(slope)));
      y[c / 2] = (word)_mm_cvtsi128_si32((__m128i)_mm_cvtneps_pbh(pair));
    }
#else
    for (; c < channels; c++) y[c] = row[c] > row[c] * slope ? row[c] : row[c] * slope;
#endif
  }
}

// ---- Weights into the format of products ------------------------------------------------------

#ifdef HG_BF16
typedef uint32_t vu __attribute__((vector_size(HG_LANES * 4)));
HG_INLINE vu rounded(vf v) {  // to the nearest bfloat16, in the upper half
  vu u = (vu)v;
  return u + 0x7fffu + ((u >> 16) & 1u);
}
#endif

static void fold(const float *filters, const float *g, int points, int kernel, void *out_,
                 int64_t point_stride) {
  word *out = (word *)out_;
  for (int p = 0; p < points; p++, out += point_stride, g += kernel)
    for (int lane = 0; lane < PANEL; lane += L) {
      vf sum[PACK] = {};
      for (int k = 0; k < kernel; k++)
        for (int half = 0; half < PACK; half++)
          sum[half] += g[k] * load(filters + (half * kernel + k) * PANEL + lane);
#ifdef HG_BF16
      vu both = (rounded(sum[0]) >> 16) | (rounded(sum[1]) & 0xffff0000u);
      _mm512_storeu_si512(out + lane, (__m512i)both);
#else
      store(out + lane, sum[0]);
#endif
    }
}

// ---- Convolution through the Fourier transform ----------------------------------------------
//
// Overlap-save: `N` inputs, `dilation` apart, give N - K + 1 outputs. Tiles are numbered so that
// those of one dilation phase interleave. A complex product takes three real ones:
//   k1 = wr (xr + xi), k2 = (wi - wr) xr, k3 = (wr + wi) xi;  real k1 - k3, imaginary k1 + k2.

template <int N, int K>
static void forward(const Convolution &c, void *spectrum, int64_t row_stride, int64_t point_stride,
                    int64_t first, int64_t last) {
  constexpr int M = N - K + 1, H = N / 2;
  const int pad = (K - 1) / 2 * c.dilation;
  const int64_t step = int64_t(c.dilation) * c.channels;
  const vf zero{};
  for (int64_t tile = first; tile < last; tile++) {
    const int64_t t = c.from + tile / c.dilation * M * c.dilation + tile % c.dilation - pad;
    const bool inside = t >= c.x_start && t + int64_t(N - 1) * c.dilation < c.x_end;
    word *out = (word *)spectrum + (tile - first) * row_stride;
    for (int channel = 0; channel < c.channels; channel += L, out += L / PACK) {
      vf x[N], re[H + 1], im[H + 1];
      const float *p = c.x + (t - c.x_start) * c.channels + channel;
      if (inside)
        each<N>([&](auto j) HG_INLINE_LAMBDA { x[j] = leaky(load(p + j * step), c.slope); });
      else
        for (int j = 0; j < N; j++) {
          const int64_t at = t + int64_t(j) * c.dilation;
          x[j] = at >= c.x_start && at < c.x_end ? leaky(load(p + j * step), c.slope) : zero;
        }
      rfft<N, 1>(x, re, im);
      store_words(out, re[0]);
      each<H - 1>([&](auto index) HG_INLINE_LAMBDA {
        constexpr int k = decltype(index)::value + 1;
        word *point = out + (3 * k - 2) * point_stride;
        store_words(point, re[k] + im[k]);
        store_words(point + point_stride, re[k]);
        store_words(point + 2 * point_stride, im[k]);
      });
      store_words(out + (3 * H - 2) * point_stride, re[H]);
    }
  }
}

template <int N, int K>
static void inverse(const Convolution &c, const float *product, int64_t row_stride,
                    int64_t point_stride, int64_t first, int64_t last) {
  constexpr int M = N - K + 1, H = N / 2;
  for (int64_t tile = first; tile < last; tile++) {
    const int64_t t = c.from + tile / c.dilation * M * c.dilation + tile % c.dilation;
    const float *in = product + (tile - first) * row_stride;
    for (int channel = 0; channel < c.channels; channel += L, in += L) {
      vf x[N], re[H + 1], im[H + 1];
      re[0] = load(in);
      each<H - 1>([&](auto index) HG_INLINE_LAMBDA {
        constexpr int k = decltype(index)::value + 1;
        const float *point = in + (3 * k - 2) * point_stride;
        vf k1 = load(point);
        im[k] = k1 + load(point + point_stride);
        re[k] = k1 - load(point + 2 * point_stride);
      });
      re[H] = load(in + (3 * H - 2) * point_stride);
      irfft<N, 1>(re, im, x);
      const vf bias = load(c.bias + channel);
      each<M>([&](auto m) HG_INLINE_LAMBDA {
        const int64_t at = t + int64_t(m) * c.dilation;
        if (at < c.to)
          store(c.y + (at - c.y_start) * c.channels + channel,
                finished(c, at, channel, x[m] + bias));
      });
    }
  }
}

template <int N, int K>
constexpr Transform transform() {
  return {N, K, N - K + 1, 3 * (N / 2 - 1) + 2, forward<N, K>, inverse<N, K>};
}

static const Transform TRANSFORMS[] = {
    transform<8, 3>(),  transform<16, 3>(),  transform<16, 5>(),  transform<32, 5>(),
    transform<16, 7>(), transform<32, 7>(),  transform<16, 11>(), transform<32, 11>(),
};

// ---- Few channels: vectors run along time ---------------------------------------------------

// OUTPUTS channels of WIDE vectors of samples at once.
template <int OUTPUTS, int WIDE>
HG_INLINE void planar_block(const float *x, int64_t x_stride, const float *weights,
                            const float *bias, const float *residual, int64_t residual_stride,
                            float *y, int64_t y_stride, bool add, int inputs, int kernel,
                            int dilation) {
  vf a[OUTPUTS][WIDE];
  each<OUTPUTS>([&](auto o) HG_INLINE_LAMBDA {
    each<WIDE>([&](auto v) HG_INLINE_LAMBDA { a[o][v] = vf{} + bias[o]; });
  });
  const int64_t filter = int64_t(inputs) * kernel;
  for (int i = 0; i < inputs; i++)
    for (int k = 0; k < kernel; k++) {
      const float *p = x + i * x_stride + int64_t(k) * dilation;
      vf in[WIDE];
      each<WIDE>([&](auto v) HG_INLINE_LAMBDA { in[v] = load(p + v * L); });
      each<OUTPUTS>([&](auto o) HG_INLINE_LAMBDA {
        const float w = weights[o * filter + i * kernel + k];
        each<WIDE>([&](auto v) HG_INLINE_LAMBDA { a[o][v] += w * in[v]; });
      });
    }
  each<OUTPUTS>([&](auto o) HG_INLINE_LAMBDA {
    each<WIDE>([&](auto v) HG_INLINE_LAMBDA {
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
                              int kernel, int dilation) {
  constexpr int WIDE = HG_PLANAR_VECTORS;
  int64_t t = 0;
  for (; t + WIDE * L <= samples; t += WIDE * L)
    planar_block<OUTPUTS, WIDE>(x + t, x_stride, weights, bias, residual ? residual + t : nullptr,
                                residual_stride, y + t, y_stride, add, inputs, kernel, dilation);
  for (; t + L <= samples; t += L)
    planar_block<OUTPUTS, 1>(x + t, x_stride, weights, bias, residual ? residual + t : nullptr,
                             residual_stride, y + t, y_stride, add, inputs, kernel, dilation);
  if (t == samples) return;
  float rest[OUTPUTS * L];  // less than a vector: what was computed too much is left out
  planar_block<OUTPUTS, 1>(x + t, x_stride, weights, bias, nullptr, 0, rest, L, false, inputs, kernel,
                           dilation);
  for (int o = 0; o < OUTPUTS; o++)
    for (int64_t i = t; i < samples; i++) {
      float *p = y + o * y_stride + i;
      const float extra = (residual ? residual[o * residual_stride + i] : 0.f) + (add ? *p : 0.f);
      *p = rest[o * L + i - t] + extra;
    }
}

static void planar(const float *x, int64_t x_stride, const float *weights, const float *bias,
                   const float *residual, int64_t residual_stride, float *y, int64_t y_stride,
                   bool add, int64_t samples, int channels, int kernel, int dilation) {
  int o = 0;
  const int64_t filter = int64_t(channels) * kernel;
  auto go = [&](auto outputs) HG_INLINE_LAMBDA {
    planar_outputs<decltype(outputs)::value>(
        x, x_stride, weights + o * filter, bias + o,
        residual ? residual + o * residual_stride : nullptr, residual_stride, y + o * y_stride,
        y_stride, add, samples, channels, kernel, dilation);
    o += decltype(outputs)::value;
  };
  while (o + HG_PLANAR_OUTPUTS <= channels) go(std::integral_constant<int, HG_PLANAR_OUTPUTS>{});
  while (o < channels) go(std::integral_constant<int, 1>{});
}
