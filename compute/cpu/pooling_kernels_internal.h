// The loops of pooling over one plane, an image's block of channels: pure, vectorised, one thread.
// x and dx are [rows][columns][lanes] of pixels, y and dy the same of windows.
//   PK-1 A winner is a tap: the place of a window's largest pixel in the window, in row order. The
//        winners of neighbouring windows of a row share a word a lane, [rows][words][lanes], the first
//        in its lowest bits: four where a byte is enough. All bits set is nobody: no gradient passes.
//   PK-2 Where windows lie side by side every element of dx is written once; elsewhere gradients are
//        added in the windows' order. What was there before is never read.
//   PK-3 What is no number wins only where it comes first; then nothing wins over it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "paceline/compute/cpu/pooling_windows_internal.h"

namespace paceline::pooling {

/// Words a lane of a plane's winners.
std::size_t winner_words(const Windows& w);

/// The largest of each window.
void largest(const Windows& w, std::size_t lanes, const float* x, float* y);

/// The same, and who has won. @param positive  only what is larger than 0 wins: a ReLU made x, and lets
/// no other gradient through
void largest(const Windows& w, std::size_t lanes, bool positive, const float* x, float* y,
             std::uint32_t* winners);

/// dx = the sum of dy of the windows that a pixel has won.
void give_to_winners(const Windows& w, std::size_t lanes, const float* dy,
                     const std::uint32_t* winners, float* dx);

/// The mean of each window. @pre no padding
void mean(const Windows& w, std::size_t lanes, const float* x, float* y);

/// dx = the sum of dy of the windows that see a pixel, each shared among all its pixels.
/// @pre no padding
void give_to_all(const Windows& w, std::size_t lanes, const float* dy, float* dx);

}  // namespace paceline::pooling
