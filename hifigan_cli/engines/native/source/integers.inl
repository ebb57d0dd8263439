// Products of spectra in 16-bit integers, summed in 32 bits; the including file has AVX-512 VNNI.
//
// Of each tile and CHUNK of channels the spectrum has one scale. No value of a spectrum is larger than
// the sum over time of its inputs' magnitudes, nor the sum of its real and imaginary part than that by
// the root of 2: so the scale is known before the transform. A row holds, chunk by chunk, the factor
// that takes its integers back to floats, and the integers, two neighbouring channels in a word.
// Weights hold, panel by panel, such a factor for each output, and the integers.
//
// Each value is rounded to a 32 767th of the largest that there can be, where bfloat16 rounds to a
// 256th of itself: about twelve more decibels in each layer.

#include "vectors.inl"
#include "fourier.h"

typedef uint32_t word;
constexpr int CHUNK = 4, WORDS = L / 2;         // vectors of channels; words of a vector
constexpr int CHUNK_WORDS = 1 + CHUNK * WORDS;  // with the factor
constexpr float LARGEST = 32767, ROOT_2 = 1.41421356f;
constexpr float NOTHING = 1e-30f;  // below it a scale could be infinite
// The sum of the magnitudes of a chunk's weights: the products of any inputs then fit in 32 bits.
// What rounding adds is half a unit each.
constexpr float MOST_WEIGHT = 65535 - CHUNK * L / 2;

HG_INLINE float as_float(word w) {
  float value;
  __builtin_memcpy(&value, &w, sizeof value);
  return value;
}
HG_INLINE word as_word(float value) {
  word w;
  __builtin_memcpy(&w, &value, sizeof w);
  return w;
}
HG_INLINE vf magnitude(vf v) { return (vf)_mm512_abs_ps((__m512)v); }
HG_INLINE vf as_floats(__m512i v) {
  typedef int32_t vi __attribute__((vector_size(HG_LANES * 4)));
  return __builtin_convertvector((vi)v, vf);
}
HG_INLINE __m512i rounded(vf v) { return _mm512_cvtps_epi32((__m512)v); }

template <int N>
HG_INLINE float begin_row(word *&out, const vf (&x)[CHUNK][N], int vectors, int64_t point_stride,
                          int points) {
  vf most{};
  for (int v = 0; v < vectors; v++) {
    vf sum{};
    each<N>([&](auto j) HG_INLINE_LAMBDA { sum += magnitude(x[v][j]); });
    most = sum > most ? sum : most;
  }
  const float bound = ROOT_2 * _mm512_reduce_max_ps((__m512)most);
  const word factor = as_word(bound / LARGEST);
  for (int p = 0; p < points; p++) out[p * point_stride] = factor;
  out++;
  return bound > NOTHING ? LARGEST / bound : 0;
}
HG_INLINE void put(word *p, vf v, float scale) {
  _mm256_storeu_si256((__m256i *)p, _mm512_cvtsepi32_epi16(rounded(v * scale)));
}

static int64_t row_words(int channels) {
  return channels / 2 + (channels + CHUNK * L - 1) / (CHUNK * L);
}
static int64_t panel_words(int channels) { return PANEL + int64_t(channels) / 2 * PANEL; }

// sums[r] = sum over k < n of x[r][k] w[k], of pairs of integers. Apart from its caller: the sums need
// all but three of the registers, and a compiler that sees what follows finds other uses for some.
template <int R>
__attribute__((noinline)) static void sum_pairs(const word *x, int64_t x_stride, const word *w, int n,
                                                __m512i (&sums)[R][2]) {
  __m512i a[R][2];
  each<R>([&](auto r) HG_INLINE_LAMBDA { a[r][0] = a[r][1] = _mm512_setzero_si512(); });
  for (int k = 0; k < n; k++, w += PANEL) {
    const __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + L);
    each<R>([&](auto r) HG_INLINE_LAMBDA {
      const __m512i pair = _mm512_set1_epi32(int(x[r * x_stride + k]));
      a[r][0] = _mm512_dpwssd_epi32(a[r][0], pair, w0);
      a[r][1] = _mm512_dpwssd_epi32(a[r][1], pair, w1);
    });
  }
  each<R>([&](auto r) HG_INLINE_LAMBDA {
    sums[r][0] = a[r][0];
    sums[r][1] = a[r][1];
  });
}

template <int R>
static void multiply_rows(const void *x_, int64_t x_stride, const void *weights, float *y,
                          int64_t y_stride, int inputs) {
  const word *x = (const word *)x_, *w = (const word *)weights + PANEL;
  const int chunk = CHUNK * WORDS, words = inputs / 2;
  for (int begin = 0; begin < words; begin += chunk, x += CHUNK_WORDS, w += chunk * PANEL) {
    __m512i sums[R][2];
    sum_pairs<R>(x + 1, x_stride, w, std::min(words - begin, chunk), sums);
    const vf f0 = load((const float *)weights), f1 = load((const float *)weights + L);
    each<R>([&](auto r) HG_INLINE_LAMBDA {
      const float factor = as_float(x[r * x_stride]);
      float *p = y + r * y_stride;
      const vf v0 = f0 * factor * as_floats(sums[r][0]), v1 = f1 * factor * as_floats(sums[r][1]);
      store(p, begin ? v0 + load(p) : v0);
      store(p + L, begin ? v1 + load(p + L) : v1);
    });
  }
}

static void quantise(const float *filters, int inputs, void *out_) {
  word *out = (word *)out_;
  for (int lane = 0; lane < PANEL; lane += L) {
    vf most{}, largest{};
    for (int begin = 0; begin < inputs; begin += CHUNK * L) {
      vf sum{};
      for (int i = begin; i < std::min(inputs, begin + CHUNK * L); i++) {
        const vf size = magnitude(load(filters + i * PANEL + lane));
        sum += size;
        largest = size > largest ? size : largest;
      }
      most = sum > most ? sum : most;
    }
    const vf by_sum = most * (1 / MOST_WEIGHT), by_size = largest * (1 / LARGEST);
    const vf factor = by_sum > by_size ? by_sum : by_size;
    store((float *)out + lane, factor);
    const vf scale = factor > NOTHING ? 1 / factor : vf{};
    for (int i = 0; i < inputs; i += 2) {
      const __m512i even = rounded(scale * load(filters + i * PANEL + lane));
      const __m512i odd = rounded(scale * load(filters + (i + 1) * PANEL + lane));
      const __m512i low = _mm512_and_si512(even, _mm512_set1_epi32(0xffff));
      _mm512_storeu_si512(out + PANEL + i / 2 * PANEL + lane,
                          _mm512_or_si512(low, _mm512_slli_epi32(odd, 16)));
    }
  }
}

#include "blocks.inl"
#include "transforms.inl"
