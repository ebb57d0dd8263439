// Vectors of four floats, which every current processor has.
#include "isa.h"

namespace hifigan::portable {
#define HG_LANES 4
#define HG_ROWS 6
#define HG_PLANAR_VECTORS 2
#define HG_PLANAR_OUTPUTS 4

#include "kernels.inl"
extern const KernelTable table;
const KernelTable table = HG_TABLE("portable");
}  // namespace hifigan::portable

