// AVX2 with fused multiply-add.
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

HG_TARGET_BEGIN("avx2,fma")
namespace hifigan::avx2 {
#define HG_LANES 8
#define HG_ROWS 6
#define HG_PLANAR_VECTORS 3
#define HG_PLANAR_OUTPUTS 4

#include "kernels.inl"
extern const KernelTable table;
const KernelTable table = HG_TABLE("avx2");
}  // namespace hifigan::avx2
HG_TARGET_END
#endif
