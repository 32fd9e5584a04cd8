// bfloat16: the upper half of an f32. Rounding is to nearest, ties to even; every NaN becomes 0x7fff
// (what the GPU's own instruction makes of it).
#pragma once

#include <cstdint>
#include <cstring>

#include "paceline/compute/cuda/host_device_internal.h"

namespace paceline::cuda {

struct Bf16 {
  std::uint16_t bits;
};

PACELINE_HOST_DEVICE std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
PACELINE_HOST_DEVICE float float_of(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

PACELINE_HOST_DEVICE float to_float(float value) { return value; }
PACELINE_HOST_DEVICE float to_float(Bf16 value) {
  return float_of(static_cast<std::uint32_t>(value.bits) << 16);
}
PACELINE_HOST_DEVICE Bf16 to_bf16(float value) {
#ifdef __CUDA_ARCH__
  Bf16 rounded;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(rounded.bits) : "f"(value));
  return rounded;
#else
  const std::uint32_t bits = bits_of(value);
  if (value != value) return {0x7fff};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
#endif
}

}  // namespace paceline::cuda
