// Neighbouring floats of a row taken together: sixteen or eight lanes at once, as the processor has
// them, and the rest one by one. For loops that are compiled by PACELINE_TARGET_CLONES;
// everything is inlined, so that no wide vector ever crosses a call.
#pragma once

#include <cstddef>
#include <cstring>

#include "paceline/compute/cpu/vectorise_internal.h"

namespace paceline {

using Lanes16 [[gnu::vector_size(64)]] = float;
using Lanes8 [[gnu::vector_size(32)]] = float;

template <class V, class T>
[[gnu::always_inline]] inline V load(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <class V, class T>
[[gnu::always_inline]] inline void store(T* p, V v) {
  std::memcpy(p, &v, sizeof v);
}

/// Runs body.operator()<V>(first lane) over all lanes.
template <class Body>
[[gnu::always_inline]] inline void for_each_strip(std::size_t lanes, Body body) {
  std::size_t lane = 0;
  if (PACELINE_HAS_WIDE_LANES)
    for (; lane + 16 <= lanes; lane += 16) body.template operator()<Lanes16>(lane);
  for (; lane + 8 <= lanes; lane += 8) body.template operator()<Lanes8>(lane);
  for (; lane < lanes; ++lane) body.template operator()<float>(lane);
}

}  // namespace paceline
