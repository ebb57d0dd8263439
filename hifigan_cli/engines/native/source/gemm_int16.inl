// Products of spectra in 16-bit integers, summed in 32 bits; the including file has AVX-512 VNNI.
//
// A spectrum has a scale for each point and CHUNK of channels, by the largest value there. Signals
// have far more at low frequencies than at high ones, of which one scale for all would leave a few
// bits. A row holds, chunk by chunk, the factor that takes its integers back to floats, and the
// integers, two neighbouring channels in a word. Weights hold, panel by panel, such a factor for each
// output, and the integers.

#include "vectors.inl"
#include "fourier.h"

typedef uint32_t word;
constexpr int CHUNK = 4, WORDS = L / 2;         // vectors of channels; words of a vector
constexpr int CHUNK_WORDS = 1 + CHUNK * WORDS;  // with the factor
constexpr float NOTHING = 1e-30f;  // below it a scale could be infinite
// The largest input, and the largest sum of the magnitudes of a chunk's weights (but for what rounding
// adds, half a unit each): the products of any inputs then fit in 32 bits. Measured: fewer bits for
// the inputs lose as many decibels as fewer for the weights do.
constexpr float MOST_INPUT = 1 << 14, MOST_WEIGHTS = (1 << 17) - 1 - CHUNK * L / 2;
constexpr float LARGEST = 32767;  // that a weight can be

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

template <int STEP>
struct Fold {  // lanes of two vectors: those of the second where STEP is a digit of the lane
  alignas(64) int32_t other[L];
  constexpr Fold() : other{} {
    for (int l = 0; l < L; l++) other[l] = (l ^ STEP) + (l & STEP ? L : 0);
  }
  static constexpr __mmask16 second = (0xffff / ((1 << STEP) + 1)) << STEP;
};

// A vector whose lane l is the largest lane of v[l]: in four rounds two vectors become one, each
// folded onto half of it.
template <int STEP = L / 2>
HG_INLINE __m512 largest_lanes(const vf *v) {
  if constexpr (STEP == 0) {
    return (__m512)*v;
  } else {
    static constexpr Fold<STEP> fold;
    const __m512 a = largest_lanes<STEP / 2>(v), b = largest_lanes<STEP / 2>(v + STEP);
    return _mm512_max_ps(_mm512_mask_blend_ps(fold.second, a, b),
                         _mm512_permutex2var_ps(a, _mm512_load_si512(fold.other), b));
  }
}

template <int P>
HG_INLINE word *put_spectra(word *out, const vf (&spectra)[CHUNK][P], int vectors,
                            int64_t point_stride) {
  constexpr int WHOLE = (P + L - 1) / L * L;
  vf most[WHOLE]{};
  alignas(64) float factors[WHOLE], scales[WHOLE];
  for (int v = 0; v < vectors; v++)
    for (int p = 0; p < P; p++) {
      const vf size = magnitude(spectra[v][p]);
      most[p] = size > most[p] ? size : most[p];
    }
  for (int p = 0; p < P; p += L) {
    const vf bound = (vf)largest_lanes(most + p);
    store(factors + p, bound * (1 / MOST_INPUT));
    store(scales + p, bound > NOTHING ? MOST_INPUT / bound : vf{});
  }
  for (int p = 0; p < P; p++) {
    word *to = out + p * point_stride;
    *to++ = as_word(factors[p]);
    for (int v = 0; v < vectors; v++, to += WORDS)
      _mm256_storeu_si256((__m256i *)to,
                          _mm512_cvtsepi32_epi16(rounded(spectra[v][p] * scales[p])));
  }
  return out + 1 + vectors * WORDS;
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
    const vf by_sum = most * (1 / MOST_WEIGHTS), by_size = largest * (1 / LARGEST);
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
