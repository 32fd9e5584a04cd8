// Elements that a thread takes at once: V of them, a pack of 8 (16 bytes of bf16, twice 16 of f32, 8 of
// bytes) where alignment and channels allow, else 1. Of flat vectors, which may lie in the host's
// memory, a quad of 4: a warp's f32 then lie in one piece. All arithmetic is f32.
#pragma once

#include <cstddef>
#include <cstdint>

#include "paceline/compute/cuda/bf16_arithmetic_internal.h"

namespace paceline::cuda {

constexpr int kPack = 8;
constexpr int kQuad = 4;

/// Whether packs (and quads) may begin at each of these addresses; null may.
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
__device__ inline void load_pack(const float* from, float (&to)[kQuad]) {
  const float4 all = *reinterpret_cast<const float4*>(from);
  to[0] = all.x, to[1] = all.y, to[2] = all.z, to[3] = all.w;
}
__device__ inline void load_pack(const Bf16* from, float (&to)[kQuad]) {
  const uint2 words = *reinterpret_cast<const uint2*>(from);
  to[0] = float_of(words.x << 16), to[1] = float_of(words.x & 0xffff0000u);
  to[2] = float_of(words.y << 16), to[3] = float_of(words.y & 0xffff0000u);
}
__device__ inline std::uint32_t two_bf16(float low, float high) {
  std::uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
__device__ inline void store_pack(float* to, const float (&from)[kQuad]) {
  *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
}
__device__ inline void store_pack(Bf16* to, const float (&from)[kQuad]) {
  *reinterpret_cast<uint2*>(to) =
      make_uint2(two_bf16(from[0], from[1]), two_bf16(from[2], from[3]));
}
__device__ inline void store_pack(float* to, const float (&from)[kPack]) {
  *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
  *reinterpret_cast<float4*>(to + 4) = make_float4(from[4], from[5], from[6], from[7]);
}
__device__ inline void store_pack(Bf16* to, const float (&from)[kPack]) {
  *reinterpret_cast<uint4*>(to) =
      make_uint4(two_bf16(from[0], from[1]), two_bf16(from[2], from[3]), two_bf16(from[4], from[5]),
                 two_bf16(from[6], from[7]));
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
template <int V, class T, class Value>
void load_pack(const T* from, Value (&to)[V]) {
  for (int j = 0; j < V; ++j) load_one(from + j, to[j]);
}
template <int V, class T, class Value>
void store_pack(T* to, const Value (&from)[V]) {
  for (int j = 0; j < V; ++j) store_one(to + j, from[j]);
}
#endif

/// @param from  f32 or bf16, which become f32; or bytes. For V > 1 at a multiple of V elements' bytes
template <int V, class T, class Value>
PACELINE_HOST_DEVICE void load(const T* from, Value (&to)[V]) {
  if constexpr (V > 1)
    load_pack(from, to);
  else
    load_one(from, to[0]);
}
template <int V, class T, class Value>
PACELINE_HOST_DEVICE void store(T* to, const Value (&from)[V]) {
  if constexpr (V > 1)
    store_pack(to, from);
  else
    store_one(to, from[0]);
}

}  // namespace paceline::cuda
