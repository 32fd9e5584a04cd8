#include "paceline/compute/cpu/channel_grid_internal.h"

#include "paceline/compute/cpu/formats_internal.h"

namespace paceline {

std::optional<ChannelGrid> channel_grid(const dnnl::memory::desc& desc) {
  const dnnl::memory::dims dims = desc.dims();
  const auto is = [&](Tag tag) {
    return desc == dnnl::memory::desc(dims, dnnl::memory::data_type::f32, tag);
  };
  const auto size = [&](std::size_t d) {
    return d < dims.size() ? static_cast<std::size_t>(dims[d]) : std::size_t{1};
  };
  ChannelGrid grid{.images = size(0), .channels = size(1), .height = size(2), .width = size(3)};
  if (dims.size() == 2 ? is(Tag::nc) : is(Tag::nhwc))
    grid.lanes = grid.channels;
  else if (dims.size() == 4 && is(Tag::nChw16c))
    grid.lanes = 16;
  else if (dims.size() == 4 && is(Tag::nChw8c))
    grid.lanes = 8;
  else
    return std::nullopt;
  grid.blocks = (grid.channels + grid.lanes - 1) / grid.lanes;
  return grid;
}

dnnl::memory::desc in_channel_grid(const dnnl::memory::desc& desc) {
  return channel_grid(desc) ? desc : plain(desc);
}

}  // namespace paceline
