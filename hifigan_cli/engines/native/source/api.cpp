// The C interface that Python calls, and the choice of instructions. Nothing throws across it: a
// null, or a negative number, says that something went wrong, `hifigan_error` says what.
#include <algorithm>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "network.h"

namespace hifigan {
namespace portable { extern const Kernels table; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels table; }
namespace avx512 { extern const Kernels table; }
namespace avx512vnni { extern const Products table; }
#endif

namespace {

thread_local std::string last_error;

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
bool has_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
#endif

struct Choice {
  const char *name;
  const Kernels *kernels;
  const Products *reduced;
};

// By name, or for an empty name the best in float32; nothing where this processor lacks it.
Choice find(const std::string &name) {
#if defined(__x86_64__)
  if (has_vnni() && name == avx512vnni::table.name)
    return {avx512vnni::table.name, &avx512::table, &avx512vnni::table};
#endif
  std::vector<const Kernels *> best{&portable::table};
#if defined(__x86_64__)
  if (has_avx2()) best.insert(best.begin(), &avx2::table);
  if (has_avx512()) best.insert(best.begin(), &avx512::table);
#endif
  for (const Kernels *kernels : best)
    if (name.empty() || name == kernels->products.name)
      return {kernels->products.name, kernels, nullptr};
  return {nullptr, nullptr, nullptr};
}

template <class Result, class Work>
Result guarded(Result failure, Work work) {
  last_error.clear();  // which also gives it, in this thread, the memory that a failure may not have
  try {
    return work();
  } catch (const std::exception &error) {
    last_error = error.what();
  } catch (...) {
    last_error = "unknown";
  }
  return failure;
}

Arithmetic required(const char *name) {
  const Choice choice = find(name);
  if (!choice.kernels) throw std::invalid_argument(std::string("no instructions ") + name);
  return {*choice.kernels, choice.reduced};
}

}  // namespace
}  // namespace hifigan

#define HG_API extern "C" __attribute__((visibility("default")))
using namespace hifigan;

HG_API const char *hifigan_error() { return last_error.c_str(); }

// Whether this processor runs the named kernels; the name of the best in float32 where it is empty.
HG_API const char *hifigan_kernels(const char *name) {
  return find(name).name;
}

// shape: mels, channels, resblock (1 or 2), stages, blocks, dilations of a block; rates; kernels of
// the transposed convolutions; kernels of the blocks; dilations, block by block.
HG_API Network *hifigan_network(const char *kernels, int threads, const int *shape,
                                const float *const *weights) {
  return guarded<Network *>(nullptr, [&] {
    const Arithmetic arithmetic = required(kernels);
    Architecture a{shape[0], shape[1], shape[2], {}, {}, {}, {}};
    const int stages = shape[3], blocks = shape[4], dilations = shape[5];
    const int *at = shape + 6;
    a.rates.assign(at, at + stages), at += stages;
    a.up_kernels.assign(at, at + stages), at += stages;
    a.block_kernels.assign(at, at + blocks), at += blocks;
    for (int i = 0; i < blocks; i++, at += dilations) a.dilations.emplace_back(at, at + dilations);
    return new Network(arithmetic, threads, a, weights);
  });
}
HG_API void hifigan_network_free(Network *network) { delete network; }

HG_API Stream *hifigan_stream(Network *network) {
  return guarded<Stream *>(nullptr, [&] { return new Stream(*network); });
}
HG_API void hifigan_stream_free(Stream *stream) { delete stream; }

// See Stream::push. Streams of one network take turns.
HG_API int64_t hifigan_push(Network *network, Stream *stream, const float *mel, int64_t frames,
                            int end, float *out) {
  return guarded<int64_t>(-1, [&] {
    std::lock_guard<std::mutex> lock(network->busy);
    return stream->push(mel, frames, end != 0, out);
  });
}

// One convolution by itself, rows of channels (few channels: channels of samples), for tests.
// length: of the transform, 0 for taps, -1 for what suits.
HG_API int hifigan_convolve(const char *kernels, int threads, int channels, int kernel, int dilation,
                            int length, const float *w, const float *bias, float slope,
                            const float *x, int64_t rows, const float *residual, int add, float *y) {
  return guarded(-1, [&] {
    const Arithmetic arithmetic = required(kernels);
    Pool pool(threads);
    ConvolutionWeights weights =
        pack_convolution(arithmetic, pool, channels, kernel, dilation, w, bias, length);
    const bool planar = weights.way == Way::planar;
    auto copy = [&](const float *from) {
      Track track(channels, planar);
      track.extend(rows, 0);
      for (int64_t t = 0; t < rows; t++)
        for (int c = 0; c < channels; c++)
          track.at(t)[planar ? c * track.stride() : c] = from[t * channels + c];
      return track;
    };
    Track tx = copy(x), ty = copy(y), tr = copy(residual ? residual : x);
    Convolver(arithmetic.kernels, pool)
        .run(weights, tx, residual ? &tr : nullptr, ty, 0, rows, add != 0, slope);
    for (int64_t t = 0; t < rows; t++)
      for (int c = 0; c < channels; c++)
        y[t * channels + c] = ty.at(t)[planar ? c * ty.stride() : c];
    return 0;
  });
}
