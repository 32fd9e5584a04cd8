// Tests flat vectors, parameters and buffers together, on the test set, and gives buffers to
// parameters that have none of their own. One thread: that which creates it.
#pragma once

#include <memory>
#include <span>

#include "paceline/compute/device.h"
#include "paceline/layers/input/batch_stream.h"
#include "paceline/layers/network.h"

namespace paceline {

class Tester {
 public:
  /// @param device, network, data  outlive the tester
  /// @param deterministic  as CompileOptions has it
  /// @param decode_threads  as StreamOptions has it
  static Result<std::unique_ptr<Tester>> create(Device& device, const Network& network,
                                                const Data& data, bool deterministic,
                                                unsigned decode_threads = 1);

  /// Sums over the test set.
  /// @param flat [P + B] in the device's memory
  Evaluation test(ConstVector flat);
  /// Sets the buffers to the mean of the statistics of a few training batches at the parameters;
  /// the same ones each time. Nothing where there are no buffers.
  /// @param flat [P + B] in the device's memory; its buffers are finite
  /// @param stream  how the batches are drawn; their size is the tester's own
  void estimate_buffers(Vector flat, StreamOptions stream);

 private:
  Tester(std::unique_ptr<Executable> executable, const Network& network, const Data& data,
         unsigned decode_threads);
  std::unique_ptr<Executable> executable_;
  const Network& network_;
  const Data& data_;
  TestStream stream_;
};

}  // namespace paceline
