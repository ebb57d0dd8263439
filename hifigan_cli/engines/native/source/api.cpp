// The C interface that Python calls, and the choice of instructions. Nothing throws across it:
// functions return a status, and `hifigan_error` describes what went wrong.
#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
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

// By name, or for an empty name the best in float32; nothing where this processor lacks it.
KernelSet find(const std::string &name) {
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

enum Status { OK = 0, OUT_OF_MEMORY = 1, FAILED = 2 };

template <class Work>
int guarded(Work work) {
  last_error.clear();  // which also gives it, in this thread, the memory that a failure may not have
  try {
    work();
    return OK;
  } catch (const std::bad_alloc &error) {
    last_error = error.what();
    return OUT_OF_MEMORY;
  } catch (const std::exception &error) {
    last_error = error.what();
  } catch (...) {
    last_error = "unknown";
  }
  return FAILED;
}

KernelSet required(const char *name) {
  const KernelSet set = find(name);
  if (!set.kernels) throw std::invalid_argument(std::string("no instructions ") + name);
  return set;
}

}  // namespace
}  // namespace hifigan

#define HG_API extern "C" __attribute__((visibility("default")))
using namespace hifigan;

HG_API const char *hifigan_error() { return last_error.c_str(); }

// Whether this processor runs the named kernels; the name of the best in float32 where it is empty.
HG_API const char *hifigan_kernels(const char *name) { return find(name).name; }

// shape: mels, channels, resblock (1 or 2), stages, blocks, dilations of a block; rates; kernels of
// the transposed convolutions; kernels of the blocks; dilations, block by block.
HG_API int hifigan_network_open(const char *kernels, int threads, const int *shape,
                                const float *const *weights, Network **network) {
  return guarded([&] {
    const KernelSet set = required(kernels);
    Architecture a{shape[0], shape[1], shape[2], {}, {}, {}, {}};
    const int stages = shape[3], blocks = shape[4], dilations = shape[5];
    const int *at = shape + 6;
    a.rates.assign(at, at + stages), at += stages;
    a.up_kernels.assign(at, at + stages), at += stages;
    a.block_kernels.assign(at, at + blocks), at += blocks;
    for (int i = 0; i < blocks; i++, at += dilations) a.dilations.emplace_back(at, at + dilations);
    *network = new Network(set, threads, a, weights);
  });
}
HG_API void hifigan_network_free(Network *network) { delete network; }

HG_API int hifigan_stream_open(Network *network, Stream **stream) {
  return guarded([&] { *stream = new Stream(*network); });
}
HG_API void hifigan_stream_free(Stream *stream) { delete stream; }

// See Stream::push. Streams of one network take turns.
HG_API int hifigan_stream_push(Network *network, Stream *stream, const float *mel, int64_t frames,
                               int end, float *out, int64_t *samples) {
  return guarded([&] {
    std::lock_guard<std::mutex> lock(network->busy);
    *samples = stream->push(mel, frames, end != 0, out);
  });
}
