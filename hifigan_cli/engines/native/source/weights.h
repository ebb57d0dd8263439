// Weights as the kernels want them: panels of outputs, taps or transforms of taps.
#pragma once
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "pool.h"

namespace hifigan {

// A filter bank for `Kernels::taps`: weight(output, input, tap), with a bias for each output.
// Outputs are rounded up to whole panels, inputs to whole words; what is added is zero.
struct TapWeights {
  int taps = 0, inputs = 0, outputs = 0;
  Memory weights;
  std::vector<float> bias;
};

// How one convolution of a residual block is computed.
enum class Way { direct, transform, planar };

struct ConvolutionWeights {
  int channels = 0, kernel = 0, dilation = 1;
  Way way = Way::direct;
  const Transform *transform = nullptr;
  Memory weights;
  std::vector<float> bias;
  int pad() const { return (kernel - 1) / 2 * dilation; }
};

// `weight` is called with (output, input, tap), `bias` with (output).
template <class Weight, class Bias>
TapWeights pack_taps(const Kernels &k, int outputs, int inputs, int taps, Weight weight, Bias bias) {
  const int pack = k.bf16 ? 2 : 1;
  TapWeights result;
  result.taps = taps;
  result.inputs = (inputs + pack - 1) / pack * pack;
  result.outputs = (outputs + k.panel - 1) / k.panel * k.panel;
  const int words = result.inputs / pack;
  result.weights.reserve(size_t(result.outputs) * taps * words * 4);
  std::vector<float> filters(size_t(pack) * k.panel);
  const float one = 1;
  for (int panel = 0; panel < result.outputs / k.panel; panel++)
    for (int tap = 0; tap < taps; tap++)
      for (int w = 0; w < words; w++) {
        for (int half = 0; half < pack; half++)
          for (int lane = 0; lane < k.panel; lane++) {
            const int o = panel * k.panel + lane, i = w * pack + half;
            filters[half * k.panel + lane] = o < outputs && i < inputs ? weight(o, i, tap) : 0.f;
          }
        k.fold(filters.data(), &one, 1, 1,
               result.weights.as<float>() + ((size_t(panel) * taps + tap) * words + w) * k.panel, 0);
      }
  result.bias.resize(result.outputs);
  for (int o = 0; o < outputs; o++) result.bias[o] = bias(o);
  return result;
}

// The transform that suits a convolution, or null where taps are faster or there is none.
const Transform *choose_transform(const Kernels &, int channels, int kernel);

// w: [output][input][tap] in float32. `length`: of the transform; 0: taps; -1: what suits.
ConvolutionWeights pack_convolution(const Kernels &, Pool &, int channels, int kernel, int dilation,
                                    const float *w, const float *bias, int length);

}  // namespace hifigan
