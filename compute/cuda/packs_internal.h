// Elements that a thread takes at once: V of them, 8 (16 bytes of bf16, twice 16 of f32, 8 of bytes)
// where alignment and channels allow, else 1. All arithmetic is f32, whatever lies in memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "paceline/compute/cuda/bf16_arithmetic_internal.h"

namespace paceline::cuda {

constexpr int kPack = 8;

/// Whether packs may begin at each of these addresses; null may.
template <class... Pointer>
bool aligned_for_packs(const Pointer*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

PACELINE_HOST_DEVICE void load_one(const float* from, float& to) { to = *from; }
PACELINE_HOST_DEVICE void load_one(const Bf16* from, float& to) { to = to_float(*from); }
PACELINE_HOST_DEVICE void load_one(const std::uint8_t* from, std::uint8_t& to) { to = *from; }
PACELINE_HOST_DEVICE void store_one(float* to, float from) { *to = from; }
PACELINE_HOST_DEVICE void store_one(Bf16* to, float from) { *to = to_bf16(from); }
PACELINE_HOST_DEVICE void store_one(std::uint8_t* to, std::uint8_t from) { *to = from; }

#ifdef __CUDA_ARCH__
__device__ inline void load_pack(const float* from, float (&to)[kPack]) {
  const float4 low = *reinterpret_cast<const float4*>(from);
  const float4 high = *reinterpret_cast<const float4*>(from + 4);
  to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
  to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}
__device__ inline void load_pack(const Bf16* from, float (&to)[kPack]) {
  const uint4 words = *reinterpret_cast<const uint4*>(from);
  const std::uint32_t all[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    to[2 * j] = float_of(all[j] << 16);
    to[2 * j + 1] = float_of(all[j] & 0xffff0000u);
  }
}
__device__ inline void load_pack(const std::uint8_t* from, std::uint8_t (&to)[kPack]) {
  const uint2 words = *reinterpret_cast<const uint2*>(from);
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    to[j] = static_cast<std::uint8_t>(words.x >> (8 * j));
    to[j + 4] = static_cast<std::uint8_t>(words.y >> (8 * j));
  }
}
__device__ inline void store_pack(float* to, const float (&from)[kPack]) {
  *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
  *reinterpret_cast<float4*>(to + 4) = make_float4(from[4], from[5], from[6], from[7]);
}
__device__ inline void store_pack(Bf16* to, const float (&from)[kPack]) {
  std::uint32_t all[4];
#pragma unroll
  for (int j = 0; j < 4; ++j)
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(all[j]) : "f"(from[2 * j + 1]), "f"(from[2 * j]));
  *reinterpret_cast<uint4*>(to) = make_uint4(all[0], all[1], all[2], all[3]);
}
__device__ inline void store_pack(std::uint8_t* to, const std::uint8_t (&from)[kPack]) {
  std::uint32_t low = 0, high = 0;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    low |= static_cast<std::uint32_t>(from[j]) << (8 * j);
    high |= static_cast<std::uint32_t>(from[j + 4]) << (8 * j);
  }
  *reinterpret_cast<uint2*>(to) = make_uint2(low, high);
}
#else
template <class T, class Value>
void load_pack(const T* from, Value (&to)[kPack]) {
  for (int j = 0; j < kPack; ++j) load_one(from + j, to[j]);
}
template <class T, class Value>
void store_pack(T* to, const Value (&from)[kPack]) {
  for (int j = 0; j < kPack; ++j) store_one(to + j, from[j]);
}
#endif

/// @param from  f32 or bf16, which become f32; or bytes. For V = 8 at a multiple of 8 elements' bytes
template <int V, class T, class Value>
PACELINE_HOST_DEVICE void load(const T* from, Value (&to)[V]) {
  if constexpr (V == kPack)
    load_pack(from, to);
  else
    load_one(from, to[0]);
}
template <int V, class T, class Value>
PACELINE_HOST_DEVICE void store(T* to, const Value (&from)[V]) {
  if constexpr (V == kPack)
    store_pack(to, from);
  else
    store_one(to, from[0]);
}

}  // namespace paceline::cuda
