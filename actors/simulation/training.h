// What a training run is made of, for one thread that plays all its workers: the same first
// parameters, the same batches by seed and worker, gradients by the real engine. Threading: made, used
// and destroyed on one thread.
//   TR-1 What prepare() makes of a run's options is what is used here.
//   TR-2 Workers share one executable where that has no state of its own (CE-3); streams and running
//        statistics are each worker's.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "paceline/actors/gradient_engine.h"
#include "paceline/actors/run_context.h"
#include "paceline/actors/tester.h"

namespace paceline {

class Training {
 public:
  /// @param options  of a run; @param network, data  outlive this
  static Result<std::unique_ptr<Training>> create(const RunOptions& options, const Network& network,
                                                  const Data& data);

  const RunContext& context() const { return context_; }
  const RunOptions& options() const { return options_; }
  const VectorMath& math() const { return context_.device->math(); }
  std::size_t dimension() const { return context_.network.layout().elements; }
  std::size_t buffers() const { return context_.network.layout().buffer_elements; }
  /// [P + B] Everybody's first.
  const std::vector<float>& initial() const { return context_.initial; }

  /// @return an exception where there is no memory, as a worker's engine has it
  std::unique_ptr<GradientEngine> engine(Rank rank);
  /// The mean loss of the first training images, neither cropped at random nor flipped; running
  /// statistics are theirs at x.
  /// @param x [P]
  double loss(std::span<const float> x);
  /// The share of the test set that x gets wrong, with running statistics of a few training batches.
  /// @param x [P]
  Result<double> test_error(std::span<const float> x);

 private:
  Training(const RunOptions& options, const Network& network, const Data& data);
  Result<> build();
  CompileOptions compile() const;
  /// [P + B] x and the first buffers, in the device's memory.
  Vector completed(std::span<const float> x);

  RunOptions options_;
  const std::unique_ptr<std::byte[]> board_;  // of the words of the run that this would be
  RunContext context_;
  std::shared_ptr<Executable> executable_;
  std::unique_ptr<TestStream> sample_;
  std::unique_ptr<Tester> tester_;  // when first asked for
  std::unique_ptr<DeviceMemory> flat_;
};

}  // namespace paceline
