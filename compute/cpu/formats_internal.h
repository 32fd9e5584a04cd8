// Short words for oneDNN's descriptions of memory.
#pragma once

#include <cstddef>
#include <oneapi/dnnl/dnnl.hpp>

#include "paceline/compute/program.h"

namespace paceline {

using Tag = dnnl::memory::format_tag;

inline dnnl::memory::dim dim(std::size_t count) { return static_cast<dnnl::memory::dim>(count); }
/// N,C,H,W, as oneDNN counts whatever the format.
inline dnnl::memory::dims dimensions(std::size_t images, const Shape& s) {
  return {dim(images), dim(s.channels), dim(s.height), dim(s.width)};
}
inline dnnl::memory::desc f32(const dnnl::memory::dims& dims, Tag tag) {
  return {dims, dnnl::memory::data_type::f32, tag};
}
/// The canonical layout: N,H,W,C, or N,C once a linear layer has flattened it.
inline dnnl::memory::desc plain(const dnnl::memory::desc& desc) {
  return f32(desc.dims(), desc.dims().size() == 4 ? Tag::nhwc : Tag::nc);
}
/// Plain, with height and width, which a linear layer's output has not.
inline dnnl::memory::desc spatial(const dnnl::memory::desc& desc) {
  const dnnl::memory::dims dims = desc.dims();
  return dims.size() == 4 ? desc : f32({dims[0], dims[1], 1, 1}, Tag::nhwc);
}
/// Plain, of `images` images flattened.
inline dnnl::memory::desc flattened(const dnnl::memory::desc& desc) {
  const dnnl::memory::dims dims = desc.dims();
  dnnl::memory::dim features = 1;
  for (std::size_t d = 1; d < dims.size(); ++d) features *= dims[d];
  return f32({dims[0], features}, Tag::nc);
}
/// Each primitive has attributes of its own: copies of an attribute share one handle.
inline dnnl::primitive_attr attributes(bool then_relu = false) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (then_relu) {
    dnnl::post_ops ops;
    ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_relu, 0.0f, 0.0f);
    attr.set_post_ops(ops);
  }
  return attr;
}

}  // namespace paceline
