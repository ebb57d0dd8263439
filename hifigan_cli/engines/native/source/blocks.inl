// The product of any number of rows, in blocks that `multiply_rows` computes in registers.

template <int... R>
constexpr auto multiply_table(std::integer_sequence<int, R...>) {
  return std::array{multiply_rows<R + 1>...};
}

static void multiply(const void *x, int64_t x_stride, const void *weights, float *y,
                     int64_t y_stride, int64_t rows, int inputs, int outputs) {
  static constexpr auto by_rows = multiply_table(std::make_integer_sequence<int, ROWS>{});
  if (rows <= 0) return;
  // Blocks have nearly equal sizes, so that none has only a row or two.
  const int64_t blocks = (rows + ROWS - 1) / ROWS;
  for (int column = 0; column < outputs; column += PANEL) {
    const uint32_t *w = (const uint32_t *)weights + column / PANEL * panel_words(inputs);
    for (int64_t block = 0; block < blocks; block++) {
      const int64_t first = rows * block / blocks, last = rows * (block + 1) / blocks;
      by_rows[last - first - 1]((const uint32_t *)x + first * x_stride, x_stride, w,
                                y + first * y_stride + column, y_stride, inputs);
    }
  }
}
