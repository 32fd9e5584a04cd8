// Data sets in memory, as bytes; shared by all workers, never changed after loading.
#pragma once

#include <cstdint>
#include <filesystem>
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
  std::vector<std::uint8_t> labels;  ///< [n]
  std::size_t size() const { return labels.size(); }
};

/// A training and a test set, and the channel statistics of the training set.
struct Data {
  std::string name;  ///< "cifar10", "synthetic:seed=1,train=20000,test=4000"
  std::shared_ptr<const Dataset> train, test;
  std::vector<float> mean, deviation;  ///< by channel, of pixels / 255
  bool flip = true;                    ///< whether a mirrored image keeps its label (digits do not)
};

/// Opens a data set.
/// @param spec  "synthetic" or "synthetic:seed=N,train=N,test=N"; or a folder that holds CIFAR-10's
/// binary batches or
///              IDX files (plain or .gz); "cifar10:DIR", "mnist:DIR", "fashion-mnist:DIR" insist on
///              the kind
/// @return one line: the file, what is wrong with it (missing, truncated, magic, label out of
/// range), the remedy
Result<Data> open_data(std::string_view spec);

}  // namespace paceline
