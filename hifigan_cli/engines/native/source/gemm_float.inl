// Matrix products in float32, and convolutions as sums of such products over taps.

HG_INLINE void product_step(vf &a0, vf &a1, const float *x, const float *w) {
  const float b = *x;
  a0 += b * load(w);
  a1 += b * load(w + L);
}

// total[r] += sum over k < n of x[r][k] w[k]: the innermost loop, except in small networks.
//
// A sum of hundreds of terms in one float loses a digit or two, and the deep network amplifies that.
// So each CHAIN terms are summed separately and then added to the total.
constexpr int CHAIN = 64;

template <int R>
HG_INLINE void accumulate(vf (&total)[R][2], const float *x, int64_t x_stride, const float *w, int n) {
  for (int begin = 0; begin < n; begin += CHAIN) {
    vf a[R][2];
    unroll<R>([&](auto r) HG_INLINE_LAMBDA { a[r][0] = a[r][1] = vf{}; });
    const int end = std::min(n, begin + CHAIN);
    for (int k = begin; k < end; k++, w += PANEL)
      unroll<R>([&](auto r) HG_INLINE_LAMBDA {
        product_step(a[r][0], a[r][1], x + r * x_stride + k, w);
      });
    unroll<R>([&](auto r) HG_INLINE_LAMBDA {
      total[r][0] += a[r][0];
      total[r][1] += a[r][1];
    });
  }
}

template <int R>
static void multiply_rows(const void *x, int64_t x_stride, const void *w, float *y,
                          int64_t y_stride, int inputs) {
  vf total[R][2];
  unroll<R>([&](auto r) HG_INLINE_LAMBDA { total[r][0] = total[r][1] = vf{}; });
  accumulate<R>(total, (const float *)x, x_stride, (const float *)w, inputs);
  unroll<R>([&](auto r) HG_INLINE_LAMBDA {
    store(y + r * y_stride, total[r][0]);
    store(y + r * y_stride + L, total[r][1]);
  });
}

static int64_t row_words(int channels) { return channels; }
static int64_t panel_words(int channels) { return int64_t(channels) * PANEL; }

#include "blocks.inl"

// Sums the taps of ROWS rows and calls `store_row(r, v0, v1)` for each.
template <class StoreRow>
HG_INLINE void tap_block(const float *x, int64_t x_stride, int taps, int64_t tap_step,
                         const float *w, const float *bias, int inputs, StoreRow store_row) {
  vf total[ROWS][2], b0 = load(bias), b1 = load(bias + L);
  unroll<ROWS>([&](auto r) HG_INLINE_LAMBDA { total[r][0] = b0; total[r][1] = b1; });
  for (int tap = 0; tap < taps; tap++)
    accumulate<ROWS>(total, x + tap * tap_step, x_stride, w + int64_t(tap) * inputs * PANEL, inputs);
  unroll<ROWS>([&](auto r) HG_INLINE_LAMBDA { store_row(int(r), total[r][0], total[r][1]); });
}

static void fir(const float *x, int64_t x_stride, int taps, int dilation, const float *weights,
                const float *bias, float *y, int64_t y_stride, int64_t rows, int inputs, int outputs) {
  const int64_t panel = int64_t(taps) * inputs * PANEL;
  for (int column = 0; column < outputs; column += PANEL) {
    const float *w = weights + column / PANEL * panel;
    for (int64_t row = 0; row < rows; row += ROWS)
      tap_block(x + row * x_stride, x_stride, taps, dilation * x_stride, w, bias + column, inputs,
                [&](int r, vf v0, vf v1) HG_INLINE_LAMBDA {
                  float *p = y + (row + r) * y_stride + column;
                  store(p, v0);
                  store(p + L, v1);
                });
  }
}

// Computes rows [first, last) of [from, to); `active` starts with the first tap of row `from`.
static void direct(const Convolution &c, const float *active, int64_t first, int64_t last) {
  const int64_t stride = c.channels, rows = c.to - c.from;
  const int64_t panel = int64_t(c.kernel_size) * stride * PANEL;
  // Groups of rows whose inputs stay in the cache for all panels.
  const int64_t group = std::max<int64_t>(1, 65536 / (int64_t(ROWS) * c.channels)) * ROWS;
  for (int64_t start = first; start < last; start += group)
    for (int column = 0; column < c.channels; column += PANEL) {
      const float *w = (const float *)c.weights + column / PANEL * panel;
      for (int64_t row = start; row < std::min(start + group, last); row += ROWS) {
        const int64_t valid = std::min<int64_t>(ROWS, std::min(last, rows) - row);
        tap_block(active + row * stride, stride, c.kernel_size, c.dilation * stride, w,
                  c.bias + column, c.channels, [&](int r, vf v0, vf v1) HG_INLINE_LAMBDA {
                    if (r >= valid) return;
                    const int64_t t = c.from + row + r;
                    float *p = c.y + (t - c.y_start) * c.channels + column;
                    v0 = add_residual(c, t, column, v0);
                    v1 = add_residual(c, t, column + L, v1);
                    store(p, v0);
                    store(p + L, v1);
                  });
      }
    }
}

static void activate(const float *x, int64_t x_start, int64_t x_end, int channels, float slope,
                     int64_t from, int64_t to, float *y) {
  for (int64_t t = from; t < to; t++, y += channels) {
    if (t < x_start || t >= x_end) {
      std::fill_n(y, channels, 0.f);
      continue;
    }
    const float *row = x + (t - x_start) * channels;
    int c = 0;
    for (; c + L <= channels; c += L) store(y + c, leaky(load(row + c), slope));
    for (; c < channels; c++) y[c] = row[c] > row[c] * slope ? row[c] : row[c] * slope;
  }
}

static void transform_filters(const float *filters, const float *g, int points, int kernel_size,
                              float *out, int64_t point_stride) {
  for (int p = 0; p < points; p++, out += point_stride, g += kernel_size)
    for (int lane = 0; lane < PANEL; lane += L) {
      vf sum{};
      for (int k = 0; k < kernel_size; k++) sum += g[k] * load(filters + k * PANEL + lane);
      store(out + lane, sum);
    }
}
