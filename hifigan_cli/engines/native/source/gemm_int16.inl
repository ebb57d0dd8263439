// Products of spectra in 16-bit integers with 32-bit sums; the including file enables AVX-512 VNNI.
//
// A spectrum has a scale for each point and CHUNK of channels, from the largest value there. Signals
// have far more energy at low frequencies than at high ones, for which one common scale would leave
// only a few bits. A row consists of chunks: a factor that converts the integers back to floats, then
// the integers, two neighboring channels in 32 bits. Weights consist of panels: a factor for each
// output, then the integers.

#include "vectors.inl"
#include "fourier.h"

typedef uint32_t spectrum_element;  // a factor, or two integers
constexpr int CHUNK = 4, WORDS = L / 2;         // vectors of channels per chunk; words per vector
constexpr int CHUNK_WORDS = 1 + CHUNK * WORDS;  // including the factor
constexpr float MIN_PEAK = 1e-30f;  // below it a scale could be infinite
// The largest input, and the largest sum of magnitudes of a chunk's weights (minus what rounding adds,
// half a unit each): the products of any inputs then fit in 32 bits. Removing one bit from the
// inputs or from the weights costs the same SNR (measured).
constexpr float MAX_INPUT = 1 << 14, MAX_WEIGHT_SUM = (1 << 17) - 1 - CHUNK * L / 2;
constexpr float MAX_WEIGHT = 32767;

HG_INLINE float as_float(spectrum_element w) {
  float value;
  __builtin_memcpy(&value, &w, sizeof value);
  return value;
}
HG_INLINE spectrum_element as_bits(float value) {
  spectrum_element w;
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
struct LaneSwap {  // selects lanes of two vectors, those of the second where bit STEP is set
  alignas(64) int32_t other[L];
  constexpr LaneSwap() : other{} {
    for (int l = 0; l < L; l++) other[l] = (l ^ STEP) + (l & STEP ? L : 0);
  }
  static constexpr __mmask16 second = (0xffff / ((1 << STEP) + 1)) << STEP;
};

// Returns a vector whose lane l is the largest lane of v[l]. Each of four rounds reduces two vectors
// to one, with half of its lanes from each.
template <int STEP = L / 2>
HG_INLINE __m512 largest_lanes(const vf *v) {
  if constexpr (STEP == 0) {
    return (__m512)*v;
  } else {
    static constexpr LaneSwap<STEP> swap;
    const __m512 a = largest_lanes<STEP / 2>(v), b = largest_lanes<STEP / 2>(v + STEP);
    return _mm512_max_ps(_mm512_mask_blend_ps(swap.second, a, b),
                         _mm512_permutex2var_ps(a, _mm512_load_si512(swap.other), b));
  }
}

template <int P>
HG_INLINE spectrum_element *store_spectra(spectrum_element *out, const vf (&spectra)[CHUNK][P],
                                          int vectors, int64_t point_stride) {
  constexpr int PADDED = (P + L - 1) / L * L;
  vf peak[PADDED]{};
  alignas(64) float factors[PADDED], scales[PADDED];
  for (int v = 0; v < vectors; v++)
    for (int p = 0; p < P; p++) {
      const vf size = magnitude(spectra[v][p]);
      peak[p] = size > peak[p] ? size : peak[p];
    }
  for (int p = 0; p < P; p += L) {
    const vf bound = (vf)largest_lanes(peak + p);
    store(factors + p, bound * (1 / MAX_INPUT));
    store(scales + p, bound > MIN_PEAK ? MAX_INPUT / bound : vf{});
  }
  for (int p = 0; p < P; p++) {
    spectrum_element *to = out + p * point_stride;
    *to++ = as_bits(factors[p]);
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

// sums[r] = sum over k < n of x[r][k] w[k], of pairs of integers. Not inlined: the sums need all but
// three of the registers, and an inlining compiler would use some of them for the caller.
template <int R>
__attribute__((noinline)) static void sum_pairs(const spectrum_element *x, int64_t x_stride,
                                                const spectrum_element *w, int n,
                                                __m512i (&sums)[R][2]) {
  __m512i a[R][2];
  unroll<R>([&](auto r) HG_INLINE_LAMBDA { a[r][0] = a[r][1] = _mm512_setzero_si512(); });
  for (int k = 0; k < n; k++, w += PANEL) {
    const __m512i w0 = _mm512_loadu_si512(w), w1 = _mm512_loadu_si512(w + L);
    unroll<R>([&](auto r) HG_INLINE_LAMBDA {
      const __m512i pair = _mm512_set1_epi32(int(x[r * x_stride + k]));
      a[r][0] = _mm512_dpwssd_epi32(a[r][0], pair, w0);
      a[r][1] = _mm512_dpwssd_epi32(a[r][1], pair, w1);
    });
  }
  unroll<R>([&](auto r) HG_INLINE_LAMBDA {
    sums[r][0] = a[r][0];
    sums[r][1] = a[r][1];
  });
}

template <int R>
static void multiply_rows(const void *x_, int64_t x_stride, const void *weights, float *y,
                          int64_t y_stride, int inputs) {
  const spectrum_element *x = (const spectrum_element *)x_;
  const spectrum_element *w = (const spectrum_element *)weights + PANEL;
  const int chunk = CHUNK * WORDS, words = inputs / 2;
  for (int begin = 0; begin < words; begin += chunk, x += CHUNK_WORDS, w += chunk * PANEL) {
    __m512i sums[R][2];
    sum_pairs<R>(x + 1, x_stride, w, std::min(words - begin, chunk), sums);
    const vf f0 = load((const float *)weights), f1 = load((const float *)weights + L);
    unroll<R>([&](auto r) HG_INLINE_LAMBDA {
      const float factor = as_float(x[r * x_stride]);
      float *p = y + r * y_stride;
      const vf v0 = f0 * factor * as_floats(sums[r][0]), v1 = f1 * factor * as_floats(sums[r][1]);
      store(p, begin ? v0 + load(p) : v0);
      store(p + L, begin ? v1 + load(p + L) : v1);
    });
  }
}

static void quantize(const float *filters, int inputs, void *out_) {
  spectrum_element *out = (spectrum_element *)out_;
  for (int lane = 0; lane < PANEL; lane += L) {
    vf max_sum{}, largest{};
    for (int begin = 0; begin < inputs; begin += CHUNK * L) {
      vf sum{};
      for (int i = begin; i < std::min(inputs, begin + CHUNK * L); i++) {
        const vf size = magnitude(load(filters + i * PANEL + lane));
        sum += size;
        largest = size > largest ? size : largest;
      }
      max_sum = sum > max_sum ? sum : max_sum;
    }
    const vf by_sum = max_sum * (1 / MAX_WEIGHT_SUM), by_size = largest * (1 / MAX_WEIGHT);
    const vf factor = by_sum > by_size ? by_sum : by_size;
    store((float *)out + lane, factor);
    const vf scale = factor > MIN_PEAK ? 1 / factor : vf{};
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
