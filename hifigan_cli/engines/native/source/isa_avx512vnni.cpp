// AVX-512 with 16-bit integer products.
#include "isa.h"

#if defined(__x86_64__)
#include <immintrin.h>

HG_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,avx2")
namespace hifigan::avx512vnni {
#define HG_LANES 16
#define HG_ROWS 14

#include "gemm_int16.inl"
extern const FrequencyDomainKernels table;
const FrequencyDomainKernels table = {"avx512vnni", HG_FREQUENCY_DOMAIN, quantize};
}  // namespace hifigan::avx512vnni
HG_TARGET_END
#endif
