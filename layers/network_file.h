// Networks as text: what `--network FILE.net` reads and `paceline inspect --as-file` writes. The
// format, for those who write one, is in docs/networks.md:
//
//   image 3x32x32                        # settings, all of them optional
//   learning-rate 0.1
//   conv 16 3x3 pad 1 no-bias            # a layer a line, each reading the one before
//   bn
//   first: relu                          # named; the others are conv1, bn1, ...
//   conv 16 3x3 pad 1
//   add first                            # adds what `first` made
//   conv 16 1x1 from first               # reads what `first` made
//   ...
//   linear classes
//
//   NF-1 parse_network(network_text(d)) has d's layers and settings.
//   NF-2 Whatever the bytes, parsing ends with a description or with one line that names the file,
//        the line, what is wrong and what to write; Network::build does so for what does not fit.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "paceline/layers/network_description.h"
#include "paceline/result.h"

namespace paceline {

/// @param file  names the network (its stem) and stands before messages
Result<NetworkDescription> parse_network(std::string_view text, const std::string& file);

/// One of named_networks(), or a file: what ends in ".net" or has a '/'.
Result<NetworkDescription> open_network(const std::string& name_or_file);

std::string network_text(const NetworkDescription& description);
/// A layer's line without its name: "conv 16 3x3 pad 1 no-bias".
std::string layer_text(const LayerDescription& layer);

/// "3x224x224": channels, height, width.
Result<Shape> parse_image(std::string_view text);

/// "pytorch", "resnet", "vgg".
std::string_view initialisation_word(Initialisation initialisation);

}  // namespace paceline
