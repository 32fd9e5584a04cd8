#include "paceline/layers/input/dataset.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "paceline/layers/input/cifar10.h"
#include "paceline/layers/input/idx.h"
#include "paceline/layers/input/image_folder.h"
#include "paceline/layers/input/synthetic.h"
#include "paceline/layers/nearest.h"

namespace paceline {
namespace {

constexpr const char* kRemedy =
    "give 'synthetic', a folder that tools/fetch-data cifar10|mnist|fashion-mnist has filled, or "
    "one with train/CLASS/*.jpg";
constexpr std::uint64_t kMostSynthetic = 1'000'000;  // images a set: 3 GB

/// "seed=N,train=N,test=N": any of them, in any order; of repeated ones the last counts.
Result<Data> open_synthetic(std::string_view text) {
  SyntheticOptions options;
  const std::string_view whole = text;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const std::size_t equals = std::min(part.find('='), part.size());
    const std::string_view key = part.substr(0, equals);
    const std::string_view number = part.substr(std::min(equals + 1, part.size()));
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(number.begin(), number.end(), value);
    if (error != std::errc{} || end != number.end()) {
      return fail(std::errc::invalid_argument,
                  "synthetic:{}: '{}' has no number: write synthetic:seed=1,train=20000,test=4000",
                  whole, part);
    }
    if (key == "seed") {
      options.seed = value;
    } else if (key == "train" || key == "test") {
      if (value == 0 || value > kMostSynthetic) {
        return fail(std::errc::invalid_argument, "synthetic:{}: {} images in '{}': choose 1 to {}",
                    whole, value, key, kMostSynthetic);
      }
      (key == "train" ? options.train : options.test) = value;
    } else {
      const std::array<std::string, 3> known = {"seed", "train", "test"};
      const std::string meant = nearest(key, known);
      return fail(std::errc::invalid_argument,
                  "synthetic:{}: '{}' is not known{}: there are seed, train and test", whole, key,
                  meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant));
    }
  }
  return make_synthetic(options);
}

std::size_t image_size_of(const DataOptions& options) {
  return options.image_size > 0 ? options.image_size : options.usual_image_size;
}

Result<Data> open_kind(std::string_view kind, const std::filesystem::path& folder,
                       const DataOptions& options) {
  if (kind == "cifar10") return load_cifar10(folder);
  if (kind == "mnist") return load_idx(folder, IdxKind::mnist);
  if (kind == "fashion-mnist") return load_idx(folder, IdxKind::fashion_mnist);
  if (kind == "images") return load_image_folder(folder, image_size_of(options));
  const std::array<std::string, 5> known = {"synthetic", "cifar10", "mnist", "fashion-mnist",
                                            "images"};
  const std::string meant = nearest(kind, known);
  return fail(std::errc::invalid_argument, "no kind of data is called '{}'{}: {}", kind,
              meant.empty() ? "" : fmt::format("; did you mean '{}'?", meant), kRemedy);
}

Result<Data> open_any(std::string_view spec, const DataOptions& options) {
  const std::size_t colon = std::min(spec.find(':'), spec.size());
  const std::string_view kind = spec.substr(0, colon);
  const std::string_view rest = spec.substr(std::min(colon + 1, spec.size()));
  if (kind == "synthetic") return open_synthetic(rest);

  std::error_code ignored;
  const bool folder_as_written = std::filesystem::is_directory(spec, ignored);
  const std::filesystem::path folder(folder_as_written ? spec : rest);
  if (!folder_as_written && colon == spec.size()) {
    if (spec == "cifar10" || spec == "mnist" || spec == "fashion-mnist") {
      return fail(std::errc::no_such_file_or_directory,
                  "{} lies in a folder: run tools/fetch-data {}, then give {}:data/{}", spec, spec,
                  spec, spec);
    }
    return fail(std::errc::no_such_file_or_directory, "no folder '{}' to read data from: {}", spec,
                kRemedy);
  }
  if (!folder_as_written) return open_kind(kind, folder, options);
  if (holds_cifar10(folder)) return load_cifar10(folder);
  if (holds_idx(folder)) return load_idx(folder, IdxKind::unnamed);
  if (holds_image_folder(folder)) return load_image_folder(folder, image_size_of(options));
  return fail(std::errc::no_such_file_or_directory,
              "{}: holds neither CIFAR-10's binary batches nor IDX files nor class folders with "
              "JPEG or PNG files: {}",
              folder.string(), kRemedy);
}

}  // namespace

Result<Data> open_data(std::string_view spec, const DataOptions& options) {
  PACELINE_TRY(Data data, open_any(spec, options));
  if (options.image_size > 0 && !data.train->files) {
    return fail(std::errc::invalid_argument,
                "{} has images of {}x{}, and --image-size resizes image files alone: leave it out",
                data.name, data.train->image.height, data.train->image.width);
  }
  return data;
}

Reading Data::reading() const {
  Reading sum;
  for (const Dataset* set : {train.get(), test.get()}) {
    if (!set->files) continue;
    const ReadingLog& log = set->files->log();
    sum.images += log.images();
    sum.decode_cpu_seconds += log.cpu_seconds();
    if (set == train.get()) sum.wait_seconds += log.wait_seconds();
    sum.skipped.merge(log.skipped());
  }
  return sum;
}

Result<> Data::usable() const {
  for (const Dataset* set : {train.get(), test.get()}) {
    if (set->files) PACELINE_TRYV(set->files->log().usable());
  }
  return success();
}

void measure_channels(Data& data) {
  const Dataset& set = *data.train;
  const std::size_t channels = set.image.channels;
  std::vector<std::uint64_t> sum(channels), squares(channels);
  for (std::size_t i = 0; i < set.pixels.size(); i += channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      const std::uint64_t pixel = set.pixels[i + c];
      sum[c] += pixel;
      squares[c] += pixel * pixel;
    }
  }
  const double count = static_cast<double>(set.pixels.size() / channels) * 255;
  data.mean.resize(channels);
  data.deviation.resize(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    const double mean = static_cast<double>(sum[c]) / count;
    const double variance = static_cast<double>(squares[c]) / (count * 255) - mean * mean;
    data.mean[c] = static_cast<float>(mean);
    // A channel of one colour has nothing to scale.
    data.deviation[c] = variance > 1e-8 ? static_cast<float>(std::sqrt(variance)) : 1.0F;
  }
}

}  // namespace paceline
