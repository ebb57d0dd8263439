// Real Fourier transforms of short vectors, unrolled by the compiler; each lane is a channel.
//
// A convolution is a product in the frequency domain. For kernels of 7 and 11 taps that saves three
// quarters of the multiplications. The rest are matrix products, one per frequency. The lengths are
// compile-time constants, so that loops and indices disappear.
//
// No include guard: each instruction set includes this file in its own namespace.

constexpr double HG_PI = 3.14159265358979323846;

// Power series; for angles in [0, pi] 24 terms exceed double precision.
constexpr double cosine(double angle) {
  double term = 1, sum = 1;
  for (int n = 1; n < 24; n++) {
    term *= -angle * angle / ((2 * n - 1) * (2 * n));
    sum += term;
  }
  return sum;
}
constexpr double sine(double angle) {
  double term = angle, sum = angle;
  for (int n = 1; n < 24; n++) {
    term *= -angle * angle / ((2 * n) * (2 * n + 1));
    sum += term;
  }
  return sum;
}

template <int N, int K>
struct RootOfUnity {  // exp(2 pi i K / N), for 0 <= K <= N / 2
  static constexpr float re = float(cosine(2 * HG_PI * K / N));
  static constexpr float im = float(sine(2 * HG_PI * K / N));
};

// X[k] = sum over n of x[n] exp(-2 pi i k n / N), k = 0 ... N / 2, of N real values `stride` apart.
template <int N, int STRIDE>
HG_INLINE void rfft(const vf *x, vf *re, vf *im) {
  if constexpr (N == 1) {
    re[0] = x[0];
    im[0] = vf{};
  } else if constexpr (N == 2) {
    re[0] = x[0] + x[STRIDE];
    re[1] = x[0] - x[STRIDE];
    im[0] = im[1] = vf{};
  } else {
    constexpr int H = N / 2;
    vf er[H / 2 + 1], ei[H / 2 + 1], odd_r[H / 2 + 1], odd_i[H / 2 + 1];
    rfft<H, 2 * STRIDE>(x, er, ei);
    rfft<H, 2 * STRIDE>(x + STRIDE, odd_r, odd_i);
    unroll<H / 2 + 1>([&](auto index) HG_INLINE_LAMBDA {
      constexpr int k = decltype(index)::value;
      if constexpr (k == 0) {  // the root is 1, and the imaginary parts are 0
        re[0] = er[0] + odd_r[0];
        re[H] = er[0] - odd_r[0];
        im[0] = im[H] = vf{};
      } else if constexpr (2 * k == H) {  // the root is -i, and the imaginary parts are 0
        re[k] = er[k];
        im[k] = -odd_r[k];
      } else {
        constexpr float c = RootOfUnity<N, k>::re, s = RootOfUnity<N, k>::im;
        vf tr = odd_r[k] * c + odd_i[k] * s, ti = odd_i[k] * c - odd_r[k] * s;
        re[k] = er[k] + tr;
        im[k] = ei[k] + ti;
        re[H - k] = er[k] - tr;
        im[H - k] = ti - ei[k];
      }
    });
  }
}

// N times the inverse of `rfft`; ignores the imaginary parts of the first and last value.
template <int N, int STRIDE>
HG_INLINE void irfft(const vf *re, const vf *im, vf *x) {
  if constexpr (N == 2) {
    x[0] = re[0] + re[1];
    x[STRIDE] = re[0] - re[1];
  } else {
    constexpr int H = N / 2;
    vf er[H / 2 + 1], ei[H / 2 + 1], odd_r[H / 2 + 1], odd_i[H / 2 + 1];
    unroll<H / 2 + 1>([&](auto index) HG_INLINE_LAMBDA {
      constexpr int k = decltype(index)::value;
      if constexpr (k == 0) {
        er[0] = re[0] + re[H];
        odd_r[0] = re[0] - re[H];
        ei[0] = odd_i[0] = vf{};
      } else if constexpr (2 * k == H) {
        er[k] = re[k] + re[k];
        odd_r[k] = -(im[k] + im[k]);
        ei[k] = odd_i[k] = vf{};
      } else {
        constexpr float c = RootOfUnity<N, k>::re, s = RootOfUnity<N, k>::im;
        vf dr = re[k] - re[H - k], di = im[k] + im[H - k];
        er[k] = re[k] + re[H - k];
        ei[k] = im[k] - im[H - k];
        odd_r[k] = dr * c - di * s;
        odd_i[k] = dr * s + di * c;
      }
    });
    irfft<H, 2 * STRIDE>(er, ei, x);
    irfft<H, 2 * STRIDE>(odd_r, odd_i, x + STRIDE);
  }
}
