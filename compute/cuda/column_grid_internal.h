// How sums over the rows of [rows, channels] are dealt out to blocks (column_sums_internal.h). Few
// channels and many rows fill the GPU as well as many channels and few rows.
#pragma once

#include <algorithm>
#include <cstddef>

namespace paceline::cuda {

struct ColumnGrid {
  std::size_t rows = 0, channels = 0;
  unsigned pack = 1;     ///< channels that a thread takes
  unsigned per_row = 0;  ///< packs
  unsigned tile = 1;     ///< packs side by side in a block, a power of two
  unsigned tiles = 1;
  unsigned lanes = 1;  ///< rows that a block takes at once: threads / tile
  unsigned chunks = 1;
  std::size_t chunk_rows = 0;  ///< of each chunk but the last

  std::size_t rows_of(unsigned chunk) const {
    return std::min(chunk_rows, rows - chunk * chunk_rows);
  }
  /// Bytes of `sums` partial sums of each channel and chunk.
  std::size_t partial_bytes(std::size_t sums) const {
    return sums * channels * chunks * sizeof(float);
  }
};

/// @param pack  8 where the channels divide into packs, else 1
/// @pre rows > 0, channels > 0
inline ColumnGrid column_grid(std::size_t rows, std::size_t channels, unsigned pack) {
  constexpr unsigned threads = 256, widest = 32;
  constexpr std::size_t rows_each = 4, most_blocks = 1056;  // a thread's rows at least; in all
  ColumnGrid grid{.rows = rows, .channels = channels, .pack = pack};
  grid.per_row = static_cast<unsigned>(channels / pack);
  while (grid.tile < std::min(grid.per_row, widest)) grid.tile *= 2;
  grid.tiles = (grid.per_row + grid.tile - 1) / grid.tile;
  grid.lanes = threads / grid.tile;
  const std::size_t most = std::max<std::size_t>(1, most_blocks / grid.tiles);
  const std::size_t turns = (rows + grid.lanes - 1) / grid.lanes;  // of all lanes
  const std::size_t turns_each = std::max(rows_each, (turns + most - 1) / most);
  grid.chunk_rows = turns_each * grid.lanes;
  grid.chunks = static_cast<unsigned>((rows + grid.chunk_rows - 1) / grid.chunk_rows);
  return grid;
}

}  // namespace paceline::cuda
