// Convolution by Fourier transform: from rows to spectra, and from products of spectra to rows.
//
// The including file defines the format of spectra. Its `store_spectra` takes those of up to CHUNK
// vectors of channels, writes them at `out`, with points `point_stride` apart, and returns the
// position of the next spectra of the row.
//
// Overlap-save: `N` inputs, `dilation` apart, yield N - K + 1 outputs. Tiles are numbered so that the
// dilation phases interleave. A complex product takes three real ones:
//   k1 = wr (xr + xi), k2 = (wi - wr) xr, k3 = (wr + wi) xi;  real k1 - k3, imaginary k1 + k2.

// Adds the residual and, for the sum over blocks, the previous value of y.
HG_INLINE vf add_residual(const Convolution &c, int64_t t, int channel, vf v) {
  if (c.residual) v += load(c.residual + (t - c.residual_start) * c.channels + channel);
  if (c.add) v += load(c.y + (t - c.y_start) * c.channels + channel);
  return v;
}

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
    spectrum_element *out = (spectrum_element *)spectrum + (tile - first) * row_stride;
    for (int chunk = 0; chunk < c.channels; chunk += CHUNK * L) {
      const int vectors = CHUNK == 1 ? 1 : std::min(CHUNK, (c.channels - chunk) / L);
      vf spectra[CHUNK][3 * H - 1];
      for (int v = 0; v < vectors; v++) {
        vf x[N], re[H + 1], im[H + 1];
        const float *p = c.x + (t - c.x_start) * c.channels + chunk + v * L;
        if (inside)
          unroll<N>([&](auto j) HG_INLINE_LAMBDA { x[j] = leaky(load(p + j * step), c.slope); });
        else
          for (int j = 0; j < N; j++) {
            const int64_t at = t + int64_t(j) * c.dilation;
            x[j] = at >= c.x_start && at < c.x_end ? leaky(load(p + j * step), c.slope) : zero;
          }
        rfft<N, 1>(x, re, im);
        vf *spectrum = spectra[v];
        spectrum[0] = re[0];
        unroll<H - 1>([&](auto index) HG_INLINE_LAMBDA {
          constexpr int k = decltype(index)::value + 1;
          spectrum[3 * k - 2] = re[k] + im[k];
          spectrum[3 * k - 1] = re[k];
          spectrum[3 * k] = im[k];
        });
        spectrum[3 * H - 2] = re[H];
      }
      out = store_spectra(out, spectra, vectors, point_stride);
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
      unroll<H - 1>([&](auto index) HG_INLINE_LAMBDA {
        constexpr int k = decltype(index)::value + 1;
        const float *point = in + (3 * k - 2) * point_stride;
        vf k1 = load(point);
        im[k] = k1 + load(point + point_stride);
        re[k] = k1 - load(point + 2 * point_stride);
      });
      re[H] = load(in + (3 * H - 2) * point_stride);
      irfft<N, 1>(re, im, x);
      const vf bias = load(c.bias + channel);
      unroll<M>([&](auto m) HG_INLINE_LAMBDA {
        const int64_t at = t + int64_t(m) * c.dilation;
        if (at < c.to)
          store(c.y + (at - c.y_start) * c.channels + channel,
                add_residual(c, at, channel, x[m] + bias));
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
