// How the loops over flat vectors are told to the compiler.
//   PACELINE_TARGET_CLONES  compiles a function once per instruction set and lets the loader
//   choose,
//                           so that a build for any x86-64 still runs at the speed of memory. Not
//                           under sanitizers, whose runtime is not up yet when the loader chooses.
//   PACELINE_HAS_WIDE_LANES whether the processor takes sixteen floats at once. GCC makes single steps
//                           of what it cannot take, so that loops must ask.
//   PACELINE_INDEPENDENT    before a loop: its iterations do not depend on each other, although its
//                           pointers may be equal.
#pragma once

#if defined(__x86_64__) && defined(__ELF__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define PACELINE_TARGET_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PACELINE_TARGET_CLONES
#endif

#if defined(__x86_64__)
#define PACELINE_HAS_WIDE_LANES __builtin_cpu_supports("avx512f")
#else
#define PACELINE_HAS_WIDE_LANES false
#endif

#if defined(__clang__)
#define PACELINE_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define PACELINE_INDEPENDENT _Pragma("GCC ivdep")
#endif
