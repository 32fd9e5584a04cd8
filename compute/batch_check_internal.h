// What every device checks before it compiles (the caller's mistake: an error) and before it
// computes a batch (a bug, since loading has validated the data: the end of the program).
#pragma once

#include <cstddef>
#include <cstdint>

#include "paceline/compute/device.h"

namespace paceline {

/// What a device can run: chains are what the papers' first networks are.
enum class Abilities : std::uint8_t { chains, all };

/// Whether an operation is more than a chain needs.
inline bool is_beyond_chains(const OperationKind& kind) {
  if (const auto* convolution = std::get_if<Convolution>(&kind)) return !convolution->bias;
  if (const auto* pool = std::get_if<MaxPool>(&kind)) return pool->padding > 0;
  if (const auto* loss = std::get_if<SoftmaxCrossEntropy>(&kind)) return loss->label_smoothing > 0;
  return std::holds_alternative<BatchNorm>(kind) || std::holds_alternative<AveragePool>(kind) ||
         std::holds_alternative<GlobalAveragePool>(kind) || std::holds_alternative<Add>(kind) ||
         std::holds_alternative<PaddedShortcut>(kind);
}

/// A valid program and a batch of at least one image.
inline Result<> check_compilable(const Program& program, const CompileOptions& options,
                                 Abilities abilities = Abilities::chains) {
  if (options.batch == 0)
    return fail(std::errc::invalid_argument, "a batch needs at least one image");
  PACELINE_TRYV(validate(program));
  for (const Operation& operation : program.operations)
    if (abilities == Abilities::chains && is_beyond_chains(operation.kind))
      return fail(std::errc::not_supported, "operation \"{}\" cannot be run here: {}",
                  operation.name, "the device runs chains of convolutions and linear layers only");
  return success();
}

/// The vectors' lengths, the number of images and every label.
inline void check_batch(const Program& program, ConstVector x, ConstVector buffers,
                        const Batch& batch) {
  const std::size_t classes = program.activations[program.operations.back().input].channels;
  PACELINE_CHECK(x.count >= program.parameter_elements, "{} parameters of {}", x.count,
                 program.parameter_elements);
  PACELINE_CHECK(buffers.count >= program.buffer_elements, "{} elements of buffers of {}",
                 buffers.count, program.buffer_elements);
  PACELINE_CHECK(batch.images.size() == batch.labels.size() * program.activations[0].count(),
                 "{} pixels for {} labels", batch.images.size(), batch.labels.size());
  for (const std::int32_t label : batch.labels)
    PACELINE_CHECK(label >= 0 && static_cast<std::size_t>(label) < classes,
                   "label {} of {} classes", label, classes);
}

}  // namespace paceline
