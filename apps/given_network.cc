#include "paceline/apps/given_network.h"

#include "paceline/layers/network_file.h"

namespace paceline {

std::vector<OptionName> given_network_options() {
  return {{"image", "CxHxW", "channels, height, width of the images (default: the network's)"},
          {"classes", "N", "(default: the network's)"}};
}

Result<Network> given_network(const std::string& name_or_file, const GivenOptions& options) {
  PACELINE_TRY(NetworkDescription description, open_network(name_or_file));
  if (const auto image = options.find("image"); image != options.end()) {
    const auto parsed = parse_image(image->second.text);
    if (!parsed) return fail(parsed.error().code, "--image: {}", parsed.error().message);
    const Shape& shape = parsed.value();
    if (shape.channels > 4 && (shape.width == 3 || shape.width == 1)) {
      return fail(std::errc::invalid_argument,
                  "--image {}: has {} channels: write them first, as {}x{}x{}", image->second.text,
                  shape.channels, shape.width, shape.channels, shape.height);
    }
    description.image = description.cropped(shape);
  }
  PACELINE_TRY(description.classes, given_count(options, "classes", description.classes, 1 << 20));
  const NetworkOptions built_for{description.image, description.classes};
  return Network::build(std::move(description), built_for);
}

}  // namespace paceline
