// Compiles a function once per instruction set and lets the loader choose, so that a build for any
// x86-64 still runs at the speed of memory. Elsewhere, and under sanitizers (whose runtime is not
// up yet when the loader chooses), it is compiled once.
#pragma once

#if defined(__x86_64__) && defined(__ELF__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define PACELINE_TARGET_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PACELINE_TARGET_CLONES
#endif
