// Tiles of activations: where they lie, to their points and back. Included by winograd_kernels.cc alone.
#pragma once

#include <algorithm>

#include "paceline/compute/cpu/winograd_points_internal.h"

namespace paceline::winograd {

alignas(64) inline constexpr float kZeros[16] = {};

/// A square of pixels of one block of channels, which may lie partly outside the image.
struct Window {
  PACELINE_INLINE Window(const ChannelGrid& grid, std::size_t image, std::size_t block,
                         std::size_t top, std::size_t left)
      : height(grid.height),
        width(grid.width),
        lanes(grid.lanes),
        begin(grid.offset(image, block, 0)),
        y(top),
        x(left) {}
  PACELINE_INLINE bool inside(std::size_t i, std::size_t j) const {
    return y + i < height && x + j < width;  // what lies before the image wraps around
  }
  PACELINE_INLINE bool all_inside(std::size_t n) const {
    return y < height && y + n <= height && x < width && x + n <= width;
  }
  PACELINE_INLINE std::size_t at(std::size_t i, std::size_t j) const {
    return begin + ((y + i) * width + x + j) * lanes;
  }
  std::size_t height, width, lanes, begin, y, x;
};

struct Place {
  std::size_t image, y, x;
};
PACELINE_INLINE Place place(const Tiling& t, std::size_t tile) {
  const std::size_t of_image = t.high * t.wide, rest = tile % of_image;
  return {tile / of_image, rest / t.wide * t.side, rest % t.wide * t.side};
}

/// n x n pixels of each tile [first, last), from `before` pixels above and left of its corner on, to
/// their points.
template <class V, std::size_t n, class Transform>
PACELINE_INLINE void expand_tiles(const Tiling& t, const ChannelGrid& grid, std::size_t before,
                                  Transform transform, const Block& to, std::size_t first,
                                  std::size_t last, const float* pixels) {
  constexpr std::size_t L = kLanes<V>;
  const Points& points = to.points;
  for (std::size_t block = 0; block < grid.blocks; ++block)
    for (std::size_t tile = first; tile < last; ++tile) {
      const Place at = place(t, tile);
      const Window window(grid, at.image, block, at.y - before, at.x - before);
      float* const out = points.at + (block * points.tiles + tile - to.first) * L;
      if (window.all_inside(n)) {
        const float* const corner = pixels + window.at(0, 0);
        const std::size_t row = window.width * L;
        to_points<V, n>(
            transform,
            [&](std::size_t i, std::size_t j)
                __attribute__((always_inline)) { return load<V>(corner + i * row + j * L); },
            out, points.stride);
      } else {
        to_points<V, n>(
            transform,
            [&](std::size_t i, std::size_t j) __attribute__((always_inline)) {
              return load<V>(window.inside(i, j) ? pixels + window.at(i, j) : kZeros);
            },
            out, points.stride);
      }
    }
}

/// One panel of products to n x n outputs of each tile. n: the tile's side
template <class V, std::size_t n>
PACELINE_INLINE void contract_tiles(const Tiling& t, const Block& from, std::size_t panel,
                                    const float* bias, bool relu, float* dst) {
  constexpr std::size_t L = kLanes<V>;
  for (std::size_t tile = from.first; tile < from.last; ++tile)
    for (std::size_t b = 0; b < t.panel / L; ++b) {
      const Place at = place(t, tile);
      const std::size_t block = panel * (t.panel / L) + b;
      const Window window(t.dst, at.image, block, at.y, at.x);
      const V shift = bias != nullptr ? load<V>(bias + block * L) : V{};
      const std::size_t rows = std::min(n, t.dst.height - at.y);
      const std::size_t columns = std::min(n, t.dst.width - at.x);
      from_points<V, n>(
          from.points.at + (tile - from.first) * t.panel + b * L, from.points.stride,
          Gather<n>(), [&](std::size_t i, const V(&values)[n]) __attribute__((always_inline)) {
            if (i >= rows) return;
            PACELINE_UNROLL
            for (std::size_t j = 0; j < n; ++j) {
              if (j >= columns) break;
              V y = values[j] + shift;
              if (relu) y = y < V{} ? V{} : y;  // what is no number stays none
              store(dst + window.at(i, j), y);
            }
          });
    }
}

/// One panel of products to 6x6 pixels for each tile, which overlap those of other tiles of the image
/// and are added to them; an image begins with zeros.
template <class V>
PACELINE_INLINE void scatter_tiles(const Tiling& t, const Block& from, std::size_t panel,
                                   float* dst) {
  constexpr std::size_t L = kLanes<V>;
  for (std::size_t tile = from.first; tile < from.last; ++tile)
    for (std::size_t b = 0; b < t.panel / L; ++b) {
      const Place at = place(t, tile);
      const std::size_t block = panel * (t.panel / L) + b;
      if (at.y == 0 && at.x == 0)
        std::fill_n(dst + t.dst.offset(at.image, block, 0), t.dst.rows() * L, 0.0f);
      const Window window(t.dst, at.image, block, at.y - t.padding, at.x - t.padding);
      from_points<V, kSide>(
          from.points.at + (tile - from.first) * t.panel + b * L, from.points.stride,
          Collect(), [&](std::size_t i, const V(&values)[kSide]) __attribute__((always_inline)) {
            PACELINE_UNROLL
            for (std::size_t j = 0; j < kSide; ++j)
              if (window.inside(i, j)) {
                float* const pixel = dst + window.at(i, j);
                store(pixel, load<V>(pixel) + values[j]);
              }
          });
    }
}

/// Asks for pixels that tiles [first, last) will read or write, of blocks [first_block, last_block), so
/// that they are near when their turn comes: products leave the memory idle.
template <bool kToWrite>
PACELINE_INLINE void fetch(const Tiling& t, const ChannelGrid& grid, std::size_t first,
                           std::size_t last, std::size_t first_block, std::size_t last_block,
                           const float* p) {
  for (std::size_t tile = first; tile < last; ++tile) {
    const Place at = place(t, tile);
    const std::size_t rows = std::min(grid.height, at.y + t.side);
    const std::size_t columns = std::min(grid.width, at.x + t.side);
    for (std::size_t block = first_block; block < last_block; ++block)
      for (std::size_t y = at.y; y < rows; ++y)
        for (std::size_t x = at.x; x < columns; ++x)
          __builtin_prefetch(p + grid.offset(at.image, block, y * grid.width + x), kToWrite, 2);
  }
}

/// The share of one point of tiles [first, last).
struct Share {
  PACELINE_INLINE Share(std::size_t from, std::size_t to, std::size_t point)
      : first(from + (to - from) * point / kPoints),
        last(from + (to - from) * (point + 1) / kPoints) {}
  std::size_t first, last;
};

}  // namespace paceline::winograd
