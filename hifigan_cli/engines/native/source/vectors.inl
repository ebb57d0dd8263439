// Vectors, for whatever width the including file has set up: HG_LANES. Included within a namespace of
// its own; standard headers come before it, outside the target region.

typedef float vf __attribute__((vector_size(HG_LANES * 4)));
typedef float vf_any __attribute__((vector_size(HG_LANES * 4), aligned(4), may_alias));

constexpr int L = HG_LANES;
constexpr int PANEL = 2 * L;   // output channels that a product makes at once: two vectors
constexpr int ROWS = HG_ROWS;  // rows at once; with two vectors each they fill the registers

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
