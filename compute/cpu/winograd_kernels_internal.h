// Winograd's minimal filtering for kernels of 3x3 and 5x5 at stride 1, on squares of 6x6 points: a 3x3
// kernel makes tiles of 4x4 outputs with 36 multiplications a channel instead of 144, a 5x5 kernel
// tiles of 2x2 with 36 instead of 100. With interpolation at six points
//   y  = A' [ (G w G') * (B' d B) ] A              d: 6x6 inputs, w: kernel, y: tile
//   dd = B  [ (G w G') * (A dy A') ] B'            the same, transposed; tiles' dd overlap and are added
//   dw = A' [ sum over tiles (G dy G') * (B' d B) ] A
// where G spreads n values to 6 points (n: the kernel's side, or that of dy's tile), A gathers n values
// from them, and * runs point by point, as 36 products of matrices.
// All memory is in lanes of 16 or 8 channels; points lie apart by whole vectors:
//   V  [36][input blocks][tiles][lanes]     U  [panels of outputs][36][inputs][panel]
//   D  [36][output blocks][tiles][lanes]    dU [output blocks][36][lanes][inputs]
// where a panel is two blocks of outputs, or one where their number is odd.
// No state, no allocation; different threads work on different tiles, panels or points.
// @source Lavin and Gray 2016, section 4
#pragma once

#include <cstddef>

#include "paceline/compute/cpu/channel_grid_internal.h"

namespace paceline::winograd {

inline constexpr std::size_t kSide = 6, kPoints = kSide * kSide;

/// What a pass from src to dst is of a convolution.
enum class Role {
  forward,
  mirrored,   ///< the way back, as a convolution with mirrored weights
  scattered,  ///< the way back as the transpose of the way there
};

/// How a pass falls into tiles: those of dst, or, scattered, of src.
struct Tiling {
  /// @pre both grids have the same lanes, 16 or 8, which divide their channels; kernel is 3 or 5
  /// @param padding  the convolution's
  Tiling(Role role, const ChannelGrid& source, const ChannelGrid& destination, std::size_t kernel,
         std::size_t padding);

  Role role;
  ChannelGrid src, dst;
  std::size_t kernel, lanes;
  std::size_t padding;                             ///< of what the tiles are of
  std::size_t side;                                ///< of a tile: 7 - kernel
  std::size_t high, wide;                          ///< tiles of one image
  std::size_t count;                               ///< of tiles in all
  std::size_t input_blocks, output_blocks, panel;  ///< panel: in outputs
};

/// Where the points of a block of tiles lie.
struct Points {
  float* at;
  std::size_t tiles;   ///< room for so many: a block's capacity
  std::size_t stride;  ///< from point to point
};

/// A block of tiles.
struct Block {
  std::size_t first, last;  ///< tiles
  Points points;            ///< tile `first` has place 0
};

/// What there is for one number of lanes, one kernel and one role.
struct Kernels {
  std::size_t tile_unit;  ///< there is room for a multiple of so many tiles
  /// V of tiles [first, last) of the block.
  void (*expand_inputs)(const Tiling&, const Block&, std::size_t first, std::size_t last,
                        const float* src);
  /// U of one panel.
  /// @param w  O,H,W,I; on the way back, inputs are its O and outputs its I
  void (*expand_weights)(const Tiling&, std::size_t panel, const float* w, float* u);
  /// One panel of dst's channels for a block of tiles, from the block's V and the panel's U.
  /// @param products  room for a panel of outputs of as many tiles as the block has room for
  /// @param bias      [outputs], or null; on the way back null
  /// @param ahead     so many tiles after the block will be asked for meanwhile
  /// @pre scattered: tiles of one image come in their order
  void (*convolve)(const Tiling&, const Block&, std::size_t panel, const float* u, Points products,
                   const float* bias, bool relu, float* dst, const float* src, std::size_t ahead);

  // Of the gradient of weights, whose tiling is that of the way there.
  /// D of tiles [first, last) of the block.
  void (*expand_gradients)(const Tiling&, const Block&, std::size_t first, std::size_t last,
                           const float* ddst);
  /// dU of one point and one block of outputs = (add ? dU : 0) + the sum over the blocks' tiles.
  void (*accumulate)(const Tiling&, std::size_t point, std::size_t output_block,
                     const Block& inputs, const Block& gradients, bool add, float* du);
  /// O,H,W,I of one block of outputs.
  void (*contract_weights)(const Tiling&, std::size_t output_block, const float* du, float* dw);
  /// The gradient of one block of biases.
  void (*sum_outputs)(const Tiling&, std::size_t output_block, const float* ddst, float* dbias);
};

const Kernels& kernels(const Tiling&);

/// Asks for what tiles [first, last) will read, in kPoints shares of which this is one.
void fetch_ahead(const Tiling&, std::size_t first, std::size_t last, std::size_t point,
                 const float* src, const float* ddst);

}  // namespace paceline::winograd
