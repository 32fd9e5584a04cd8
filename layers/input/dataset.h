// Data sets in memory, as bytes; shared by all workers, never changed after loading.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "paceline/compute/program.h"
#include "paceline/result.h"

namespace paceline {

struct Dataset {
  Shape image;
  std::size_t classes = 0;
  std::vector<std::uint8_t> pixels;  ///< [n,H,W,C]
  std::vector<std::uint8_t> labels;  ///< [n], each below `classes`
  std::size_t size() const { return labels.size(); }
};

/// A training and a test set of the same image shape and classes, neither empty, and the channel
/// statistics of the training set.
struct Data {
  std::string name;  ///< "cifar10", "mnist", "synthetic:seed=1,train=20000,test=4000"
  std::shared_ptr<const Dataset> train, test;
  std::vector<float> mean, deviation;  ///< by channel, of pixels / 255; a deviation is never 0
  /// Whether a mirrored image keeps its label: photographs, clothes and the built-in figures do,
  /// digits do not, and of IDX files that nobody named it is not known.
  bool flip = true;
  /// How far a training image of the network's size may be shifted, each way, in pixels. IDX images
  /// come centred and scaled to their frame: shifting them costs more than it teaches.
  std::size_t padding = 4;
};

/// Opens a data set.
/// @param spec  "synthetic" or "synthetic:seed=N,train=N,test=N"; or a folder that holds CIFAR-10's
///              binary batches (perhaps in cifar-10-batches-bin/) or IDX files (plain or .gz);
///              "cifar10:DIR", "mnist:DIR", "fashion-mnist:DIR" insist on the kind
/// @return one line: the file, what is wrong with it (missing, truncated, magic, label out of
/// range), the remedy
Result<Data> open_data(std::string_view spec);

/// Fills `mean` and `deviation` from the training set.
void measure_channels(Data& data);

}  // namespace paceline
