#include "paceline/layers/input/resampler_internal.h"

#include <algorithm>
#include <cmath>

#include "paceline/result.h"

namespace paceline {

Resampler::Resampler(Shape to, std::span<const float> scale, std::span<const float> shift)
    : to_(to), scale_(scale.begin(), scale.end()), shift_(shift.begin(), shift.end()) {
  PACELINE_CHECK(to.channels == 3 && scale.size() == 3 && shift.size() == 3,
                 "{} channels where colour images belong", to.channels);
  down_.runs.resize(to.height);
  across_.runs.resize(to.width);
}

void Resampler::Weights::fill(double start, double length, std::size_t pixels) {
  const double step = length / static_cast<double>(runs.size());
  const double reach = std::max(step, 1.0);  // of the triangle, each way
  const auto last = static_cast<double>(pixels);
  values.clear();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const double centre = start + (static_cast<double>(i) + 0.5) * step;
    // The pixels whose middles lie under the triangle; one at least.
    const double from = std::clamp(std::floor(centre - reach + 0.5), 0.0, last - 1);
    const double to = std::clamp(std::floor(centre + reach + 0.5), from + 1, last);
    Run& run = runs[i];
    run = {static_cast<std::size_t>(from), static_cast<std::size_t>(to - from), values.size()};
    double sum = 0;
    const auto weight = [&](std::size_t k) {
      const double middle = from + static_cast<double>(k) + 0.5;
      return std::max(0.0, 1 - std::abs(middle - centre) / reach);
    };
    for (std::size_t k = 0; k < run.count; ++k) sum += weight(k);
    for (std::size_t k = 0; k < run.count; ++k) {
      values.push_back(static_cast<float>(sum > 0 ? weight(k) / sum : k == 0));
    }
  }
}

void Resampler::resample(const DecodedImage& image, const ImageBox& box, bool mirrored,
                         float* out) {
  down_.fill(box.top, box.height, image.size.height);
  across_.fill(box.left, box.width, image.size.width);
  const Weights::Run& end = across_.runs.back();
  const std::size_t first = across_.runs.front().first * 3;
  const std::size_t columns = (end.first + end.count) * 3 - first;
  if (row_.size() < columns) row_.resize(columns);
  for (const Weights::Run& rows : down_.runs) {  // down first: that is one long loop a row
    float* const sum = row_.data();
    std::fill_n(sum, columns, 0.0F);
    for (std::size_t k = 0; k < rows.count; ++k) {
      const float weight = down_.values[rows.weights + k];
      const std::uint8_t* const bytes = image.row(rows.first + k) + first;
      for (std::size_t i = 0; i < columns; ++i) sum[i] += weight * static_cast<float>(bytes[i]);
    }
    for (std::size_t x = 0; x < to_.width; ++x) {
      const Weights::Run& run = across_.runs[mirrored ? to_.width - 1 - x : x];
      const float* pixel = sum + run.first * 3 - first;
      float red = 0, green = 0, blue = 0;
      for (std::size_t k = 0; k < run.count; ++k, pixel += 3) {
        const float weight = across_.values[run.weights + k];
        red += weight * pixel[0];
        green += weight * pixel[1];
        blue += weight * pixel[2];
      }
      *out++ = red * scale_[0] + shift_[0];
      *out++ = green * scale_[1] + shift_[1];
      *out++ = blue * scale_[2] + shift_[2];
    }
  }
}

}  // namespace paceline
