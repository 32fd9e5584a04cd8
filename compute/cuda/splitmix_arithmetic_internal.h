// Rng (compute/random.h) by position: splitmix64's state only counts, so that any number of a stream
// is had without those before it.
#pragma once

#include <cstdint>

#include "paceline/compute/cuda/host_device_internal.h"

namespace paceline::cuda {

constexpr std::uint64_t kSplitmixStep = 0x9e3779b97f4a7c15ull;

/// The number that an Rng in state `state` hands out after `skipped` others.
PACELINE_HOST_DEVICE std::uint64_t splitmix_at(std::uint64_t state, std::uint64_t skipped) {
  std::uint64_t z = state + (skipped + 1) * kSplitmixStep;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
/// Rng::uniform() of that number.
PACELINE_HOST_DEVICE double splitmix_uniform_at(std::uint64_t state, std::uint64_t skipped) {
  return static_cast<double>(splitmix_at(state, skipped) >> 11) * 0x1p-53;
}
/// The state that Rng(seed, stream) begins with.
PACELINE_HOST_DEVICE std::uint64_t splitmix_stream(std::uint64_t seed, std::uint64_t stream) {
  return splitmix_at(splitmix_at(seed, 0) ^ (stream * 0xd1342543de82ef95ull), 0);
}

}  // namespace paceline::cuda
