#include "paceline/apps/run_parts.h"

#include <memory>
#include <utility>

#include "paceline/apps/decode_threads.h"
#include "paceline/compute/device.h"

namespace paceline {

Result<RunParts> open_run_parts(const TrainOptions& options) {
  PACELINE_TRY(const std::unique_ptr<Device> device,
               open_device(options.run.device,
                           {.threads = options.run.threads, .precision = options.run.precision}));
  PACELINE_TRY(Data data,
               open_data(options.data, {.image_size = options.image_size,
                                        .usual_image_size = options.description.image.height}));
  PACELINE_TRYV(check_decode_threads(data, options.run.decode_threads));
  const Shape image = options.description.cropped(data.train->image);
  PACELINE_TRY(Network network,
               Network::build(options.description, {.image = image,
                                                    .classes = data.train->classes,
                                                    .label_smoothing = options.label_smoothing}));
  return RunParts{std::move(data), std::move(network), device->description()};
}

}  // namespace paceline
