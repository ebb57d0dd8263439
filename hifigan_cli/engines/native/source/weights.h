// Weights in the layouts of the kernels: panels of outputs, as taps or transforms of taps.
#pragma once
#include <vector>

#include "kernels.h"
#include "memory.h"
#include "thread_pool.h"

namespace hifigan {

// A filter bank for `KernelTable::fir`: weight(output, input, tap), with a bias for each output.
// Zero outputs pad the last panel.
struct FirWeights {
  int taps = 0, inputs = 0, outputs = 0;
  Memory weights;
  std::vector<float> bias;
};

// How a convolution of a residual block is computed.
enum class Method { direct, transform, planar };

struct ConvolutionWeights {
  int channels = 0, kernel_size = 0, dilation = 1;
  Method method = Method::direct;
  // These two are only for Method::transform.
  const FrequencyDomainKernels *frequency_domain = nullptr;
  const Transform *transform = nullptr;
  Memory weights;
  std::vector<float> bias;
  int pad() const { return (kernel_size - 1) / 2 * dilation; }
};

// `weight` is called with (output, input, tap), `bias` with (output).
template <class Weight, class Bias>
FirWeights pack_fir(const KernelTable &k, int outputs, int inputs, int taps, Weight weight,
                    Bias bias) {
  FirWeights result;
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

// The kernels of a network: in float32, and optionally those in 16-bit integers, which replace
// the float32 ones in layers with many channels.
struct KernelSet {
  const char *name;
  const KernelTable *kernels;
  const FrequencyDomainKernels *int16;
};

// w: [output][input][tap] in float32. `length` is that of the transform; 0: none; -1: automatic.
ConvolutionWeights pack_convolution(const KernelSet &, ThreadPool &, int channels, int kernel_size,
                                    int dilation, const float *w, const float *bias, int length);

}  // namespace hifigan
