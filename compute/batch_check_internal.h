// What every device checks before it compiles (the caller's mistake: an error) and before it
// computes a batch (a bug, since loading has validated the data: the end of the program).
#pragma once

#include <cstddef>
#include <cstdint>

#include "paceline/compute/device.h"

namespace paceline {

/// A valid program and a batch of at least one image.
inline Result<> check_compilable(const Program& program, const CompileOptions& options) {
  if (options.batch == 0)
    return fail(std::errc::invalid_argument, "a batch needs at least one image");
  return validate(program);
}

/// The vectors' lengths, the number of images and every label.
inline void check_batch(const Program& program, ConstVector x, ConstVector buffers,
                        const Batch& batch) {
  const std::size_t classes = program.activations[program.operations.back().input].channels;
  PACELINE_CHECK(x.count >= program.parameter_elements, "{} parameters of {}", x.count,
                 program.parameter_elements);
  PACELINE_CHECK(buffers.count >= program.buffer_elements, "{} elements of buffers of {}",
                 buffers.count, program.buffer_elements);
  const std::size_t images = batch.labels.size();
  if (const RawBatch* const raw = batch.raw) {
    PACELINE_CHECK(batch.images.empty() && raw->cuts.size() == images &&
                       raw->images.size() == images * raw->stored.count(),
                   "{} bytes and {} cuts for {} labels", raw->images.size(), raw->cuts.size(),
                   images);
    const std::size_t channels = program.activations[0].channels;
    PACELINE_CHECK(raw->stored.channels == channels && raw->scale.size() == channels &&
                       raw->shift.size() == channels,
                   "images of {} channels for a network of {}", raw->stored.channels, channels);
  } else {
    PACELINE_CHECK(batch.images.size() == images * program.activations[0].count(),
                   "{} pixels for {} labels", batch.images.size(), images);
  }
  for (const std::int32_t label : batch.labels)
    PACELINE_CHECK(label >= 0 && static_cast<std::size_t>(label) < classes,
                   "label {} of {} classes", label, classes);
}

}  // namespace paceline
