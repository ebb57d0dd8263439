// AVX-512 with products of bfloat16, sums in float32.
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

HG_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma,avx2")
namespace hifigan::avx512bf16 {
#define HG_LANES 16
#define HG_ROWS 14
#define HG_PLANAR_VECTORS 3
#define HG_PLANAR_OUTPUTS 8
#define HG_BF16
#include "kernels.inl"
extern const Kernels table;
const Kernels table = HG_TABLE("avx512bf16", true);
}  // namespace hifigan::avx512bf16
HG_TARGET_END
#endif
