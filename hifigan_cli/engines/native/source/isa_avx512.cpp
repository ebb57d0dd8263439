// AVX-512.
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

HG_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,fma,avx2")
namespace hifigan::avx512 {
#define HG_LANES 16
#define HG_ROWS 14
#define HG_PLANAR_VECTORS 3
#define HG_PLANAR_OUTPUTS 8

#include "kernels.inl"
extern const KernelTable table;
const KernelTable table = HG_TABLE("avx512");
}  // namespace hifigan::avx512
HG_TARGET_END
#endif
