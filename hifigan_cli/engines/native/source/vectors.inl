// Vectors of HG_LANES floats. The including file defines HG_LANES and includes this file in its own
// namespace. Include the standard headers before HG_TARGET_BEGIN.

typedef float vf __attribute__((vector_size(HG_LANES * 4)));
typedef float vf_any __attribute__((vector_size(HG_LANES * 4), aligned(4), may_alias));

constexpr int L = HG_LANES;
constexpr int PANEL = 2 * L;   // output channels per product: two vectors
constexpr int ROWS = HG_ROWS;  // rows per product; with two vectors each they fill the registers

HG_INLINE vf load(const float *p) { return *(const vf_any *)p; }
HG_INLINE void store(float *p, vf v) { *(vf_any *)p = v; }
HG_INLINE vf leaky(vf v, float slope) { vf low = v * slope; return v > low ? v : low; }

template <int N, class F, int... I>
HG_INLINE void unroll_indices(F f, std::integer_sequence<int, I...>) {
  (f(std::integral_constant<int, I>{}), ...);
}
template <int N, class F>
HG_INLINE void unroll(F f) {
  unroll_indices<N>(f, std::make_integer_sequence<int, N>{});
}
