// Weights as the kernels want them: panels of outputs, taps or transforms of taps.
#pragma once
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "pool.h"

namespace hifigan {

// A filter bank for `Kernels::taps`: weight(output, input, tap), with a bias for each output.
// Outputs are rounded up to whole panels; what is added is zero.
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
  const Products *products = nullptr;  // and these, where by transform
  const Transform *transform = nullptr;
  Memory weights;
  std::vector<float> bias;
  int pad() const { return (kernel - 1) / 2 * dilation; }
};

// `weight` is called with (output, input, tap), `bias` with (output).
template <class Weight, class Bias>
TapWeights pack_taps(const Kernels &k, int outputs, int inputs, int taps, Weight weight, Bias bias) {
  TapWeights result;
  result.taps = taps;
  result.inputs = inputs;
  result.outputs = (outputs + k.panel - 1) / k.panel * k.panel;
  result.weights.reserve(size_t(result.outputs) * taps * inputs * sizeof(float));
  float *out = result.weights.as<float>();
  for (int panel = 0; panel < result.outputs; panel += k.panel)
    for (int tap = 0; tap < taps; tap++)
      for (int i = 0; i < inputs; i++)
        for (int o = panel; o < panel + k.panel; o++)
          *out++ = o < outputs ? weight(o, i, tap) : 0.f;
  result.bias.resize(result.outputs);
  for (int o = 0; o < outputs; o++) result.bias[o] = bias(o);
  return result;
}

// What computes the convolutions: kernels in float32, and products that take the place of theirs
// where channels are many, or none.
struct KernelSet {
  const char *name;
  const Kernels *kernels;
  const Products *reduced;
};

// w: [output][input][tap] in float32. `length`: of the transform; 0: taps; -1: what suits.
ConvolutionWeights pack_convolution(const KernelSet &, Pool &, int channels, int kernel,
                                    int dilation, const float *w, const float *bias, int length);

}  // namespace hifigan
