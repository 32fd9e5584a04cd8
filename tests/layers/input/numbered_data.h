// A tiny data set whose pixels tell which image, row and column they come from.
#pragma once

#include <memory>

#include "paceline/layers/input/dataset.h"

namespace paceline {

/// Images 0, 1, ... of `shape`: label i mod 10, channel 0 the row, channel 1 the column, channel 2
/// the image mod 256. Mean 0 and deviation 1/255, so that a normalised pixel is its byte.
inline Data numbered_data(std::size_t images, Shape shape) {
  auto set = std::make_shared<Dataset>();
  set->image = shape;
  set->classes = 10;
  for (std::size_t i = 0; i < images; ++i) {
    set->labels.push_back(static_cast<std::uint8_t>(i % 10));
    for (std::size_t y = 0; y < shape.height; ++y) {
      for (std::size_t x = 0; x < shape.width; ++x) {
        set->pixels.push_back(static_cast<std::uint8_t>(y));
        set->pixels.push_back(static_cast<std::uint8_t>(x));
        set->pixels.push_back(static_cast<std::uint8_t>(i));
      }
    }
  }
  Data data;
  data.name = "numbered";
  data.train = data.test = set;
  data.mean.assign(3, 0.0F);
  data.deviation.assign(3, 1.0F / 255);
  return data;
}

}  // namespace paceline
