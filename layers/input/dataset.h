// Data sets, in memory as bytes or in image files; shared by all workers, never changed after
// loading.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "paceline/compute/program.h"
#include "paceline/layers/input/image_files.h"
#include "paceline/result.h"

namespace paceline {

/// Labels, and images in one of two places.
struct Dataset {
  Shape image;  ///< of every image; of files, what they are resized to
  std::size_t classes = 0;
  std::vector<std::uint8_t> pixels;         ///< [n,H,W,C] in memory; empty where there are files
  std::shared_ptr<const ImageFiles> files;  ///< [n], of a set too large for memory; else null
  std::vector<std::uint16_t> labels;        ///< [n], each below `classes`
  std::size_t size() const { return labels.size(); }
};

/// What reading image files took, over both sets and all threads.
struct Reading {
  std::uint64_t images = 0;       ///< decoded, or tried to
  double decode_cpu_seconds = 0;  ///< of the threads that read and decode
  double wait_seconds = 0;        ///< that streams of training batches waited for them
  SkippedFiles skipped;
};

/// A training and a test set of the same image shape and classes, neither empty, and the channel
/// statistics of the training set.
struct Data {
  /// "cifar10", "mnist", "synthetic:seed=1,train=20000,test=4000", "images:DIR"
  std::string name;
  std::shared_ptr<const Dataset> train, test;
  std::vector<float> mean, deviation;  ///< by channel, of pixels / 255; a deviation is never 0
  /// Whether a mirrored image keeps its label: photographs, clothes and the built-in figures do,
  /// digits do not, and of IDX files that nobody named it is not known.
  bool flip = true;
  /// How far a training image of the network's size may be shifted, each way, in pixels. IDX images
  /// come centred and scaled to their frame: shifting them costs more than it teaches.
  std::size_t padding = 4;

  /// Of a folder of images: files that are none, and whether the test images are a part of the
  /// training images that was held out.
  std::size_t ignored_files = 0;
  bool held_out = false;

  /// What reading image files has come to since the set was opened; nothing for sets in memory.
  Reading reading() const;
  /// @return why the files cannot be used any more
  Result<> usable() const;
};

struct DataOptions {
  /// Height and width to which image files are brought; 0: the usual one. Sets in memory have
  /// their size: there, asking for one is a mistake.
  std::size_t image_size = 0;
  std::size_t usual_image_size = 224;
};

/// Opens a data set.
/// @param spec  "synthetic" or "synthetic:seed=N,train=N,test=N"; or a folder that holds CIFAR-10's
///              binary batches (perhaps in cifar-10-batches-bin/) or IDX files (plain or .gz);
///              or class folders with JPEG and PNG files (image_folder.h); "cifar10:DIR",
///              "mnist:DIR", "fashion-mnist:DIR", "images:DIR" insist on the kind
/// @return one line: the file, what is wrong with it (missing, truncated, magic, label out of
/// range), the remedy
Result<Data> open_data(std::string_view spec, const DataOptions& options = {});

/// Fills `mean` and `deviation` from the training set.
void measure_channels(Data& data);

}  // namespace paceline
