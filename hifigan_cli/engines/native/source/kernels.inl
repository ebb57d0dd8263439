// The kernels in float32, for whatever vectors the including file has set up.

#include "vectors.inl"
#include "fourier.h"

// Spectra are floats as they are, channel by channel.
typedef float word;
constexpr int CHUNK = 1, WORDS = L;  // vectors of channels; words of a vector
template <int P>
HG_INLINE word *put_spectra(word *out, const vf (&spectra)[CHUNK][P], int, int64_t point_stride) {
  each<P>([&](auto p) HG_INLINE_LAMBDA { store(out + p * point_stride, spectra[0][p]); });
  return out + WORDS;
}

#include "transforms.inl"
#include "products.inl"
#include "planar.inl"
