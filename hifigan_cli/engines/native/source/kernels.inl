// The kernels in float32, for the vector width of the including file.

#include "vectors.inl"
#include "fourier.h"

// Spectra are unscaled floats, channel by channel.
typedef float spectrum_element;
constexpr int CHUNK = 1, WORDS = L;  // vectors of channels per chunk; words per vector
template <int P>
HG_INLINE spectrum_element *store_spectra(spectrum_element *out, const vf (&spectra)[CHUNK][P], int,
                                          int64_t point_stride) {
  unroll<P>([&](auto p) HG_INLINE_LAMBDA { store(out + p * point_stride, spectra[0][p]); });
  return out + WORDS;
}

#include "transforms.inl"
#include "gemm_float.inl"
#include "planar.inl"
