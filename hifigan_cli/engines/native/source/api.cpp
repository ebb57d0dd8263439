// The C interface that Python calls, and the selection of an instruction set. It throws no exceptions:
// functions return a status, and `hifigan_error` returns the message of the last error.
#include <algorithm>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "network.h"

namespace hifigan {
namespace portable { extern const KernelTable table; }
#if defined(__x86_64__)
namespace avx2 { extern const KernelTable table; }
namespace avx512 { extern const KernelTable table; }
namespace avx512vnni { extern const FrequencyDomainKernels table; }
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

// Returns the kernels called `name`. An empty name selects the fastest float32 kernels. Returns null
// if the CPU does not support them.
KernelSet find_kernels(const std::string &name) {
#if defined(__x86_64__)
  if (has_vnni() && name == avx512vnni::table.name)
    return {avx512vnni::table.name, &avx512::table, &avx512vnni::table};
#endif
  std::vector<const KernelTable *> candidates{&portable::table};
#if defined(__x86_64__)
  if (has_avx2()) candidates.insert(candidates.begin(), &avx2::table);
  if (has_avx512()) candidates.insert(candidates.begin(), &avx512::table);
#endif
  for (const KernelTable *kernels : candidates)
    if (name.empty() || name == kernels->frequency_domain.name)
      return {kernels->frequency_domain.name, kernels, nullptr};
  return {nullptr, nullptr, nullptr};
}

enum Status { OK = 0, OUT_OF_MEMORY = 1, FAILED = 2 };

template <class Work>
int catch_errors(Work work) {
  last_error.clear();  // also allocates it in this thread, since memory may be short after a failure
  try {
    work();
    return OK;
  } catch (const std::bad_alloc &error) {
    last_error = error.what();
    return OUT_OF_MEMORY;
  } catch (const std::exception &error) {
    last_error = error.what();
  } catch (...) {
    last_error = "unknown error";
  }
  return FAILED;
}

KernelSet require_kernels(const char *name) {
  const KernelSet set = find_kernels(name);
  if (!set.kernels) throw std::invalid_argument(std::string("unsupported kernels: ") + name);
  return set;
}

}  // namespace
}  // namespace hifigan

#define HG_API extern "C" __attribute__((visibility("default")))
using namespace hifigan;

HG_API const char *hifigan_error() { return last_error.c_str(); }

// Returns `name`, or the name of the fastest float32 kernels if it is empty. Returns null if the CPU
// does not support them.
HG_API const char *hifigan_kernels(const char *name) { return find_kernels(name).name; }

// shape: n_mels, channels, resblock (1 or 2), stages, blocks per stage, dilations per block; upsample
// rates; upsample kernel sizes; resblock kernel sizes; dilations, block by block.
HG_API int hifigan_network_open(const char *kernels, int threads, const int *shape,
                                const float *const *weights, Network **network) {
  return catch_errors([&] {
    const KernelSet set = require_kernels(kernels);
    Architecture a{shape[0], shape[1], shape[2], {}, {}, {}, {}};
    const int stages = shape[3], blocks = shape[4], dilations = shape[5];
    const int *at = shape + 6;
    a.upsample_rates.assign(at, at + stages), at += stages;
    a.upsample_kernel_sizes.assign(at, at + stages), at += stages;
    a.resblock_kernel_sizes.assign(at, at + blocks), at += blocks;
    for (int i = 0; i < blocks; i++, at += dilations) a.dilations.emplace_back(at, at + dilations);
    *network = new Network(set, threads, a, weights);
  });
}
HG_API void hifigan_network_free(Network *network) { delete network; }

HG_API int hifigan_stream_open(Network *network, Stream **stream) {
  return catch_errors([&] { *stream = new Stream(*network); });
}
HG_API void hifigan_stream_free(Stream *stream) { delete stream; }

// See Stream::push. Streams of one network run in turn.
HG_API int hifigan_stream_push(Network *network, Stream *stream, const float *mel, int64_t frames,
                               int end, float *out, int64_t *samples) {
  return catch_errors([&] {
    std::lock_guard<std::mutex> lock(network->mutex);
    *samples = stream->push(mel, frames, end != 0, out);
  });
}
