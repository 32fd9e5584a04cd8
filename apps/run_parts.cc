#include "paceline/apps/run_parts.h"

#include <memory>
#include <utility>

#include "paceline/actors/device_turns.h"
#include "paceline/apps/decode_threads.h"

namespace paceline {

namespace {

/// What the workers compute on, or why they cannot.
Result<std::string> open_devices(const RunOptions& run, std::optional<Rank> worker) {
  PACELINE_TRY(const DeviceTurns turns, DeviceTurns::parse(run.device));
  std::vector<std::string> kinds = turns.kinds();
  if (worker) kinds = {turns.of(*worker)};
  std::string text;
  for (const std::string& name : kinds) {
    PACELINE_TRY(const std::unique_ptr<Device> device,
                 turns.open(name, {.threads = run.threads, .precision = run.precision}));
    if (!text.empty()) text += '\n';
    text += device->description();
    if (kinds.size() == 1) continue;
    std::size_t workers = 0;
    for (Rank rank = 0; rank < run.workers; ++rank) workers += turns.of(rank) == name ? 1 : 0;
    text += fmt::format(" ({} of {} workers)", workers, run.workers);
  }
  return text;
}

}  // namespace

Result<RunParts> open_run_parts(const TrainOptions& options, std::optional<Rank> worker) {
  PACELINE_TRY(std::string device, open_devices(options.run, worker));
  PACELINE_TRY(Data data,
               open_data(options.data, {.image_size = options.image_size,
                                        .usual_image_size = options.description.image.height}));
  PACELINE_TRYV(check_decode_threads(data, options.run.decode_threads));
  const Shape image = options.description.cropped(data.train->image);
  PACELINE_TRY(Network network,
               Network::build(options.description, {.image = image,
                                                    .classes = data.train->classes,
                                                    .label_smoothing = options.label_smoothing}));
  return RunParts{std::move(data), std::move(network), std::move(device)};
}

}  // namespace paceline
