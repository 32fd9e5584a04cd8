#include "paceline/compute/cpu/residual_internal.h"

#include <algorithm>

#include "paceline/compute/cpu/vectorise_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kPiece = 1 << 14;  // elements that a thread takes at a time

PACELINE_TARGET_CLONES
void add(std::size_t count, const float* a, const float* b, float* z) {
  PACELINE_INDEPENDENT
  for (std::size_t e = 0; e < count; ++e) z[e] = a[e] + b[e];
}
PACELINE_TARGET_CLONES
void add_relu(std::size_t count, const float* a, const float* b, float* z) {
  PACELINE_INDEPENDENT
  for (std::size_t e = 0; e < count; ++e) {
    const float sum = a[e] + b[e];
    z[e] = sum < 0 ? 0 : sum;  // what is no number stays none
  }
}

}  // namespace

AddStep::AddStep(dnnl::memory a, dnnl::memory b, dnnl::memory z, bool relu)
    : a_(std::move(a)),
      b_(std::move(b)),
      z_(std::move(z)),
      count_(z_.get_desc().get_size() / sizeof(float)),
      relu_(relu) {}

void AddStep::run(const Pass&) {
  const float* const a = static_cast<const float*>(a_.get_data_handle());
  const float* const b = static_cast<const float*>(b_.get_data_handle());
  float* const z = static_cast<float*>(z_.get_data_handle());
  const auto pieces = static_cast<std::ptrdiff_t>((count_ + kPiece - 1) / kPiece);
#pragma omp parallel for schedule(static)
  for (std::ptrdiff_t piece = 0; piece < pieces; ++piece) {
    const std::size_t first = static_cast<std::size_t>(piece) * kPiece;
    (relu_ ? add_relu : add)(std::min(kPiece, count_ - first), a + first, b + first, z + first);
  }
}

PaddedShortcutStep::PaddedShortcutStep(Way way, dnnl::memory from, dnnl::memory to,
                                       ChannelGrid narrow, ChannelGrid wide, std::size_t stride)
    : way_(way),
      from_(std::move(from)),
      to_(std::move(to)),
      narrow_(narrow),
      wide_(wide),
      stride_(stride) {}

void PaddedShortcutStep::run(const Pass&) {
  const float* const from = static_cast<const float*>(from_.get_data_handle());
  float* const to = static_cast<float*>(to_.get_data_handle());
  const ChannelGrid& written = way_ == Way::forward ? wide_ : narrow_;
  const std::size_t shift = (wide_.channels - narrow_.channels) / 2;
#pragma omp parallel for schedule(static)
  for (std::ptrdiff_t image = 0; image < static_cast<std::ptrdiff_t>(narrow_.images); ++image) {
    const std::size_t n = static_cast<std::size_t>(image);
    std::fill_n(to + written.offset(n, 0, 0), written.blocks * written.rows() * written.lanes,
                0.0f);
    // Channels that are neighbours on both sides are copied together.
    for (std::size_t c = 0; c < narrow_.channels;) {
      const std::size_t d = c + shift;
      const std::size_t run = std::min(
          {narrow_.channels - c, narrow_.lanes - c % narrow_.lanes, wide_.lanes - d % wide_.lanes});
      for (std::size_t y = 0; y < wide_.height; ++y)
        for (std::size_t x = 0; x < wide_.width; ++x) {
          const std::size_t in =
              narrow_.offset(n, c / narrow_.lanes, (y * narrow_.width + x) * stride_) +
              c % narrow_.lanes;
          const std::size_t out =
              wide_.offset(n, d / wide_.lanes, y * wide_.width + x) + d % wide_.lanes;
          if (way_ == Way::forward)
            std::copy_n(from + in, run, to + out);
          else
            std::copy_n(from + out, run, to + in);
        }
      c += run;
    }
  }
}

}  // namespace paceline
