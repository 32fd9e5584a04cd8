#include "paceline/apps/bench_data.h"

#include <chrono>

#include "paceline/layers/input/batch_stream.h"
#include "paceline/layers/input/dataset.h"

namespace paceline {

Result<nlohmann::json> bench_data(const DataBenchOptions& options) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::duration<double> kLong{5};
  PACELINE_TRY(const Data data, open_data(options.data, {.image_size = options.image_size}));
  const auto since = Clock::now();
  std::chrono::duration<double> elapsed{};
  std::uint64_t images = 0;
  {
    BatchStream stream(data, {.batch = options.batch,
                              .image = data.train->image,
                              .decode_threads = options.decode_threads});
    while (elapsed < kLong) {
      images += stream.next().labels.size();
      elapsed = Clock::now() - since;
    }
  }
  PACELINE_TRYV(data.usable());
  const Reading read = data.reading();
  return nlohmann::json{
      {"data", data.name},
      {"image_size", options.image_size},
      {"batch", options.batch},
      {"decode_threads", options.decode_threads},
      {"images", images},
      {"images_per_second", static_cast<double>(images) / elapsed.count()},
      {"decode_cpu_seconds_per_image", read.decode_cpu_seconds / static_cast<double>(read.images)},
      {"skipped_files", read.skipped.size()}};
}

}  // namespace paceline
