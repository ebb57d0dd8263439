// The kernels in float32, for whatever vectors the including file has set up.

#include "vectors.inl"
#include "fourier.h"

// Spectra are floats as they are, channel by channel.
typedef float word;
constexpr int CHUNK = 1, WORDS = L;
template <int N>
HG_INLINE float begin_row(word *&, const vf (&)[CHUNK][N], int, int64_t, int) { return 1; }
HG_INLINE void put(word *p, vf v, float) { store(p, v); }

#include "transforms.inl"
#include "products.inl"
#include "planar.inl"
