// Includes and macros that every `isa_*.cpp` needs before its target region.
//
// Standard headers must be included before vector instructions are enabled: the program shares their
// functions, and the linker keeps one copy, which must run on every processor.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "kernels.h"

#define HG_INLINE static inline __attribute__((always_inline))
#define HG_INLINE_LAMBDA __attribute__((always_inline))

#ifdef __clang__
#define HG_TARGET_STRING(x) #x
#define HG_TARGET_BEGIN(features) \
  _Pragma(HG_TARGET_STRING(clang attribute push(__attribute__((target(features))), apply_to = function)))
#define HG_TARGET_END _Pragma("clang attribute pop")
#else
#define HG_TARGET_STRING(x) #x
#define HG_TARGET_BEGIN(features) \
  _Pragma("GCC push_options") _Pragma(HG_TARGET_STRING(GCC target(features)))
#define HG_TARGET_END _Pragma("GCC pop_options")
#endif

#define HG_FREQUENCY_DOMAIN \
  TRANSFORMS, int(sizeof TRANSFORMS / sizeof *TRANSFORMS), row_words, panel_words, multiply
#define HG_TABLE(name) \
  { {name, HG_FREQUENCY_DOMAIN, nullptr}, PANEL, ROWS, fir, direct, activate, transform_filters, \
    planar }
