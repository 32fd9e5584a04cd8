// The ways to run a convolution's pass on the CPU, by the names that ConvolutionChoice remembers:
//   direct    the definition, blocked for registers and caches
//   winograd  fewer multiplications: our own (winograd_internal.h)
//   mirrored  stride 1: the forward pass as the data gradient of the convolution with mirrored
//             weights, or the other way round; for some shapes oneDNN does one better than the other
// @source Lavin and Gray 2016 (Winograd's minimal filtering)
#pragma once

namespace paceline {

inline constexpr const char* kDirect = "direct";
inline constexpr const char* kWinograd = "winograd";
inline constexpr const char* kMirrored = "mirrored";

}  // namespace paceline
