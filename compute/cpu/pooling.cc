#include "paceline/compute/cpu/pooling_internal.h"

#include "paceline/compute/cpu/pooling_kernels_internal.h"

namespace paceline {
namespace {

template <class T>
T* data(const dnnl::memory& memory) {
  return static_cast<T*>(memory.get_data_handle());
}

/// Where a plane begins: one block of one image.
struct Plane {
  std::size_t pixels, windows, winners;
};

/// Calls f(plane) for every image's every block, in parallel.
template <class F>
void for_each_plane(const ChannelGrid& pixels, const pooling::Windows& windows, F f) {
  const std::size_t in = pixels.rows() * pixels.lanes;
  const std::size_t out = windows.height.pixels.size() * windows.width.pixels.size() * pixels.lanes;
  const std::size_t words = pooling::winner_words(windows) * pixels.lanes;
  const auto planes = static_cast<std::ptrdiff_t>(pixels.images * pixels.blocks);
#pragma omp parallel for schedule(static)
  for (std::ptrdiff_t plane = 0; plane < planes; ++plane) {
    const std::size_t p = static_cast<std::size_t>(plane);
    f(Plane{p * in, p * out, p * words});
  }
}

}  // namespace

dnnl::memory::desc winners_desc(const pooling::Windows& windows, const ChannelGrid& pixels) {
  const std::size_t words =
      pixels.images * pixels.padded_channels() * pooling::winner_words(windows);
  return {{static_cast<dnnl::memory::dim>(words)},
          dnnl::memory::data_type::s32,
          dnnl::memory::format_tag::a};
}

MaxPoolForward::MaxPoolForward(pooling::Windows windows, dnnl::memory x, dnnl::memory y,
                               dnnl::memory winners, bool positive)
    : windows_(std::move(windows)),
      x_(std::move(x)),
      y_(std::move(y)),
      winners_(std::move(winners)),
      grid_(channel_grid(x_.get_desc()).value()),
      positive_(positive) {}

void MaxPoolForward::run(const Pass&) {
  const float* const x = data<const float>(x_);
  float* const y = data<float>(y_);
  std::uint32_t* const winners = winners_ ? data<std::uint32_t>(winners_) : nullptr;
  for_each_plane(grid_, windows_, [&](const Plane& p) {
    if (winners == nullptr)
      pooling::largest(windows_, grid_.lanes, x + p.pixels, y + p.windows);
    else
      pooling::largest(windows_, grid_.lanes, positive_, x + p.pixels, y + p.windows,
                       winners + p.winners);
  });
}

MaxPoolBackward::MaxPoolBackward(pooling::Windows windows, dnnl::memory dy, dnnl::memory winners,
                                 dnnl::memory dx)
    : windows_(std::move(windows)),
      dy_(std::move(dy)),
      winners_(std::move(winners)),
      dx_(std::move(dx)),
      grid_(channel_grid(dx_.get_desc()).value()) {}

void MaxPoolBackward::run(const Pass&) {
  const float* const dy = data<const float>(dy_);
  const std::uint32_t* const winners = data<const std::uint32_t>(winners_);
  float* const dx = data<float>(dx_);
  for_each_plane(grid_, windows_, [&](const Plane& p) {
    pooling::give_to_winners(windows_, grid_.lanes, dy + p.windows, winners + p.winners,
                             dx + p.pixels);
  });
}

AveragePoolStep::AveragePoolStep(Way way, pooling::Windows windows, dnnl::memory from,
                                 dnnl::memory to)
    : way_(way),
      windows_(std::move(windows)),
      from_(std::move(from)),
      to_(std::move(to)),
      grid_(channel_grid((way == Way::forward ? from_ : to_).get_desc()).value()) {}

void AveragePoolStep::run(const Pass&) {
  const float* const from = data<const float>(from_);
  float* const to = data<float>(to_);
  for_each_plane(grid_, windows_, [&](const Plane& p) {
    if (way_ == Way::forward)
      pooling::mean(windows_, grid_.lanes, from + p.pixels, to + p.windows);
    else
      pooling::give_to_all(windows_, grid_.lanes, from + p.windows, to + p.pixels);
  });
}

}  // namespace paceline
