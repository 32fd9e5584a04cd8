// How an activation lies in memory, seen as [images][blocks][rows][lanes]: rows are pixels, and lane l
// of block b is channel b * lanes + l. N,H,W,C is one block of C lanes; oneDNN's nChw16c has blocks of
// 16, the last one filled up with lanes that hold zeros and must be left so.
#pragma once

#include <cstddef>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>

namespace paceline {

struct ChannelGrid {
  std::size_t images = 0, channels = 0, height = 0, width = 0;
  std::size_t blocks = 0, lanes = 0;

  std::size_t rows() const { return height * width; }
  std::size_t padded_channels() const { return blocks * lanes; }
  std::size_t count() const { return images * blocks * rows() * lanes; }
  std::size_t offset(std::size_t image, std::size_t block, std::size_t row) const {
    return ((image * blocks + block) * rows() + row) * lanes;
  }
};

/// Empty for formats that are neither N,H,W,C, N,C nor blocks of 16 or 8 channels.
std::optional<ChannelGrid> channel_grid(const dnnl::memory::desc& desc);

/// A format that our own loops run through: the memory's, or N,H,W,C.
dnnl::memory::desc in_channel_grid(const dnnl::memory::desc& desc);

}  // namespace paceline
