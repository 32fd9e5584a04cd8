// A network without a data set: as `paceline inspect` and `paceline bench step` take one.
#pragma once

#include <string>
#include <vector>

#include "paceline/apps/given_options.h"
#include "paceline/layers/network.h"

namespace paceline {

/// --image and --classes.
std::vector<OptionName> given_network_options();

/// Builds a network for the images and classes that were given, else for those it is meant for.
Result<Network> given_network(const std::string& name_or_file, const GivenOptions& options);

}  // namespace paceline
