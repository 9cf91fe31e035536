// The kernel once for every instruction set, each in a namespace of its own, and the choice among them when it runs.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "summary.hpp"
#include "tables.hpp"
#include "vectors.hpp"

#if defined(GELISOL_X86) && defined(__clang__)
#include <immintrin.h>
#elif defined(GELISOL_X86)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"  // GCC 12 takes its own _mm512_undefined_epi32() for a slip
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop
#elif defined(GELISOL_ARM)
#include <arm_neon.h>
#endif

namespace gelisol {

namespace plain {
#include "kernel.hpp"
#include "statistics.hpp"
}  // namespace plain

#if defined(GELISOL_X86)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2")
#endif
#define GELISOL_AVX2
namespace avx2 {
#include "kernel.hpp"
#include "statistics.hpp"
}  // namespace avx2
#undef GELISOL_AVX2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,prefer-vector-width=512")
#endif
#define GELISOL_AVX512
namespace avx512 {
#include "kernel.hpp"
#include "statistics.hpp"
}  // namespace avx512
#undef GELISOL_AVX512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#elif defined(GELISOL_ARM)
#define GELISOL_NEON
namespace neon {
#include "kernel.hpp"
#include "statistics.hpp"
}  // namespace neon
#undef GELISOL_NEON
#endif

// Instruction sets that this build and machine have, best first.
inline std::vector<std::string> instruction_sets() {
#if defined(GELISOL_X86)
    std::vector<std::string> names{"plain"};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")) {
        names.insert(names.begin(), "avx2");
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512vl"))
            names.insert(names.begin(), "avx512");
    }
    return names;
#elif defined(GELISOL_ARM)
    return {"neon", "plain"};
#endif
    return {"plain"};
}

inline std::string choose(const std::string& wanted) {
    const auto names = instruction_sets();
    if (wanted.empty()) return names.front();
    if (std::find(names.begin(), names.end(), wanted) == names.end())
        throw std::invalid_argument("instruction set '" + wanted + "' is not to be had here");
    return wanted;
}

// Calls `function` with the code of an instruction set.
template <class Function>
void with_code([[maybe_unused]] const std::string& name, Function function) {
#if defined(GELISOL_X86)
    if (name == "avx512") return function(avx512::Code{});
    if (name == "avx2") return function(avx2::Code{});
#elif defined(GELISOL_ARM)
    if (name == "neon") return function(neon::Code{});
#endif
    function(plain::Code{});
}

}  // namespace gelisol
