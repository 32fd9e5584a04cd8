// Arithmetic that the GPU's kernels share with the host, where tests compare it with the CPU's and
// the reference's: such functions compile for both.
#pragma once

#ifdef __CUDACC__
#define PACELINE_HOST_DEVICE __host__ __device__ inline
#else
#define PACELINE_HOST_DEVICE inline
#endif
