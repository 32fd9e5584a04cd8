// The evaluator runs the test set through the leader's parameters, or the mean of all workers', on
// a thread of its own at low priority. It copies what it evaluates out of its slot first, so that
// it never holds a buffer for long. Threading: an Evaluator is used by one thread; the actor is
// detached.
//   EV-1 A worker's parameters are tested with the buffers that it published with them. Where there
//        are none (a mean of several workers, a centre), they are estimated on training batches;
//        that is part of the evaluation and of its CPU time.
#pragma once

#include <filesystem>
#include <vector>

#include "paceline/actors/run_context.h"
#include "paceline/actors/tester.h"

namespace paceline {

class Evaluator {
 public:
  explicit Evaluator(RunContext& context);

  /// Compiles what tests, which may time convolutions: best while nothing else runs. Otherwise it is
  /// done when first needed.
  Result<> prepare();
  /// @param leader  the role whose newest published parameters lead
  Result<Assessed> leader(Address leader, double t);
  /// Of the mean of all workers' newest parameters, summed in rank order; who was given up has no
  /// say.
  Result<Assessed> mean(double t);
  /// Writes the leader to `directory`/leader.safetensors: where its buffers cannot be estimated,
  /// with the initial ones, and says why.
  Result<> checkpoint(Address leader);
  /// Saves both for later, in `directory`/snapshots.
  Result<> snapshot(Address leader, double t);
  struct Snapshot {
    double t;
    bool mean, complete;
    std::filesystem::path path;
  };
  /// In the order taken; evaluating one removes its file.
  const std::vector<Snapshot>& snapshots() const { return snapshots_; }
  Result<Assessed> evaluate(const Snapshot& snapshot);

 private:
  Result<> copy_leader(Address leader);
  Result<> copy_mean();
  Result<> complete();
  Result<Assessed> evaluate(double t, bool mean);
  Result<> write(const std::filesystem::path& path) const;
  Vector flat() { return {flat_.data(), flat_.size()}; }
  Vector on_device() { return {flat_on_device_->data(), flat_.size()}; }

  RunContext& context_;
  std::unique_ptr<Device> device_;                // of worker 0's kind, with one thread
  std::unique_ptr<DeviceMemory> flat_on_device_;  // [P + B], where it is tested
  std::unique_ptr<Tester> tester_;                // made by prepare()
  std::vector<float> flat_;                       // [P + B], what is evaluated, in host memory
  bool complete_ = false;                         // the buffers belong to the parameters
  std::vector<Snapshot> snapshots_;
};

/// @param run  gets an Assessed for each Assess; so does the recorder
EvaluatorActor spawn_evaluator(caf::actor_system& system, RunContext* context,
                               const caf::actor& run);

/// The metadata of a checkpoint of this network and data.
std::map<std::string, std::string> checkpoint_metadata(const Network& network, const Data& data);

}  // namespace paceline
