// What every device checks of a batch before it computes; what fails here is a bug of the caller,
// since loading has validated the data.
#pragma once

#include <cstddef>

#include "paceline/compute/device.h"

namespace paceline {

/// The vectors' lengths, the number of images and every label.
inline void check_batch(const Program& program, ConstVector x, const Batch& batch) {
  const std::size_t classes = program.activations[program.operations.back().input].channels;
  PACELINE_CHECK(x.count >= program.parameter_elements, "{} parameters of {}", x.count,
                 program.parameter_elements);
  PACELINE_CHECK(batch.images.size() == batch.labels.size() * program.activations[0].count(),
                 "{} pixels for {} labels", batch.images.size(), batch.labels.size());
  for (const std::int32_t label : batch.labels)
    PACELINE_CHECK(label >= 0 && static_cast<std::size_t>(label) < classes,
                   "label {} of {} classes", label, classes);
}

}  // namespace paceline
