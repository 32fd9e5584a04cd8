// A training run: what decides it, what it reports while it goes on, what it leaves behind. The one
// door of actors/: apps/ and services that embed paceline come in here, with a CAF system of their
// own.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "paceline/actors/place.h"
#include "paceline/actors/setting.h"
#include "paceline/compute/device.h"
#include "paceline/compute/learning_rate.h"
#include "paceline/compute/vector_math.h"
#include "paceline/layers/input/batch_stream.h"
#include "paceline/layers/input/dataset.h"
#include "paceline/layers/network.h"
#include "paceline/net/fabric_kind.h"
#include "paceline/result.h"

namespace caf {
class actor_system;
}

namespace paceline {

struct Checkpoint;

enum class Mode : std::uint8_t { barrier, nonblocking };
enum class Evaluate : std::uint8_t { beside, after };
/// What a worker is: a thread of this process, or a process of its own, which may die alone.
enum class Isolation : std::uint8_t { thread, process };

/// Where slots of whole vectors lie: `automatic` is in the device's memory where all workers' devices can
/// read each other's and nothing needs the host to see the bytes, else in the host's.
enum class SlotMemory : std::uint8_t { automatic, host, device };

/// Everything that decides a run. Times are seconds; `workers` is over all groups.
struct RunOptions {
  std::string protocol = "lsgd";
  Mode mode = Mode::nonblocking;
  std::uint32_t groups = 1, workers = 2;
  std::uint32_t max_workers = 0;  ///< how many there may be once some are added; 0: seats() says
  std::uint32_t tau = 4, tau_global = 16;  ///< steps
  double pull = 0.1, pull_global = 0.1;    ///< lambda of Algorithm 1: x -= pull * (x - z)
  std::uint32_t score_window = 10;         ///< batches
  std::uint64_t staleness = 8;             ///< versions; older leaders are skipped and counted
  Settings set;             ///< of the protocol's own: those that no option above is for
  std::size_t batch = 128;  ///< per worker
  Isolation isolation = Isolation::thread;
  /// With processes: the program and first arguments that start one, which ends up in
  /// ride_in_process() with the same options, network and data; "--segment S --rank R" is appended.
  std::vector<std::string> worker_command;
  /// With another than `none` each group is a process: group 0 and the global leader are run()'s own,
  /// the others are started, and all reach each other over this fabric alone.
  FabricKind fabric = FabricKind::none;
  std::string fabric_address;  ///< where each group listens, by commas; empty: on this host
  /// With a fabric: the program and first arguments that start a group's process, which ends up in
  /// host_group() with the same options, network and data; "--group G" is appended.
  std::vector<std::string> group_command;
  unsigned threads = 1;        ///< per worker
  bool pin = false;            ///< each worker keeps to processors of its own
  std::string device = "cpu";  ///< or several, dealt out in turn: "cuda,cpu" (DeviceTurns)
  Precision precision = Precision::f32;  ///< of the device's products
  Sgd sgd{.learning_rate = 0};           ///< learning rate 0: the network's default
  Schedule schedule;                     ///< of the learning rate, over the budget
  bool decay_all = true;  ///< weight decay of biases and BatchNorms, too (undecayed is run()'s)
  double clip_norm = 0;   ///< longest gradient, over all parameters; 0: any
  Sampling sampling = Sampling::shuffled;
  bool augment = true;
  unsigned decode_threads = 1;  ///< per worker, beside its `threads`; for image files
  std::uint64_t seed = 1;
  bool deterministic = false;  ///< with Mode::barrier, where the protocol has modes

  // Exactly one budget; 0: not given.
  std::uint64_t steps = 0;             ///< per worker
  double epochs = 0;                   ///< over the samples of all workers
  double minutes = 0;                  ///< of training
  std::optional<double> target_error;  ///< ends early once the leader's test error is at most this

  Evaluate evaluate = Evaluate::beside;
  double evaluate_every = 10;  ///< seconds of training
  double patience = 0;  ///< seconds: how long anyone waits for anybody; 0: by how long steps take
  double begin_within = 600;   ///< seconds that a worker may take to build its engine
  std::uint32_t restarts = 3;  ///< how often a worker that ends before its time is replaced
  SlotMemory slot_memory = SlotMemory::automatic;
  bool slot_checksums = false;         ///< of what is published: nobody uses what does not match
  double checkpoint_seconds = 0;       ///< of training from one checkpoint to the next; 0: no
  std::uint64_t checkpoint_steps = 0;  ///< the same in steps of each worker; 0: no
  std::uint32_t keep_checkpoints = 3;  ///< how many, the newest
  bool checkpoints() const { return checkpoint_seconds > 0 || checkpoint_steps > 0; }
  /// Go on from here, in the directory that holds the run so far; null: begin.
  std::shared_ptr<const Checkpoint> resume;
  /// Gets the run's course (actors/course.h); empty: nobody keeps it. `options_text` goes into it, for
  /// whoever is to make the same options again.
  std::filesystem::path record;
  std::string options_text;
  std::filesystem::path
      directory;  ///< exists and is empty; gets metrics.jsonl, summary.json, leader.safetensors and,
                  ///< where image files were skipped, skipped.txt

  /// Seats for workers: max_workers, or twice as many as there are, 64 more at most. With
  /// `deterministic`, and over a fabric, the workers stay the same.
  std::uint32_t seats() const {
    if (max_workers > 0) return max_workers;
    return deterministic || fabric != FabricKind::none ? workers : workers + std::min(workers, 64U);
  }
  Place place() const { return {groups, workers / groups, seats() - workers}; }
};

/// One line's worth of state, several times a second.
struct Progress {
  double train_seconds = 0;
  std::uint64_t steps = 0, steps_planned = 0;  ///< totals; planned 0: bounded by time
  double seconds_left = 0;
  double images_per_second = 0;
  std::optional<std::uint32_t> leader;  ///< rank of the global leader
  std::optional<double> loss;           ///< the leader's score
  std::optional<double> test_error;     ///< the leader's, when last evaluated
  const char* phase = "train";          ///< "train", "evaluate"
};

/// What summary.json holds.
struct RunSummary {
  double test_error_leader = 0, test_error_mean = 0;
  double wall_seconds = 0, train_seconds = 0, images_per_second = 0;
  double learning_rate = 0;  ///< of the last step
  std::uint64_t steps = 0, leader_changes = 0, seed = 0;
  double coordination_fraction = 0, evaluation_cpu_seconds = 0;
  double decode_cpu_seconds = 0;  ///< of all threads that decoded image files, to test on, too
  double data_wait_seconds = 0;   ///< that workers waited for image files, over all
  SkippedFiles skipped;           ///< image files that could not be read, since they were opened
  std::map<std::string, std::uint64_t>
      events;  ///< counted by the protocol: local_sync, global_sync, pull, stale, busy, ...
  std::vector<std::string> devices;  ///< what each worker of the beginning computed on, by rank
  std::vector<std::string> pinned;   ///< with `pin`: processors of each worker, "0-3,8"
  std::string protocol;
  Settings settings;    ///< all that the protocol has, as they were
  FabricChoice fabric;  ///< kind none: one process held all groups
  /// What a group has read over the fabric to have others' leaders, and the run to test its own.
  struct FabricReads {
    std::uint64_t reads = 0, bytes = 0;            ///< that were used
    std::uint64_t retries = 0, retried_bytes = 0;  ///< read again, and what was thrown away
  };
  std::vector<FabricReads> fabric_reads;  ///< by group
  FabricReads fabric_tests;
  std::string ended_by;  ///< "steps", "minutes", "target_error", "interrupt", "error"
};

/// How others talk to a run that goes on. Thread-safe; stop() is signal-safe, too.
class RunControl {
 public:
  /// Workers finish their step; everything is evaluated and written; run() returns.
  void stop() noexcept { stop_.store(true); }
  bool stopping() const noexcept { return stop_.load(); }

  /// To be called before this process is stopped (SIGTSTP): stops the workers' processes and the run's
  /// clock, so that nobody is taken for dead and no training time goes by. Returns when that is done,
  /// or after `within`: there may be no run yet, or no longer.
  void suspend(std::chrono::milliseconds within);
  /// After it, from the same thread: all goes on.
  void go_on() noexcept { suspension_.store(Suspension::none); }

  // The run's side.
  bool suspending() const noexcept { return suspension_.load() != Suspension::none; }
  void stands_still() noexcept {
    auto asked = Suspension::asked;
    suspension_.compare_exchange_strong(asked, Suspension::done);
  }

 private:
  enum class Suspension : std::uint8_t { none, asked, done };
  std::atomic<bool> stop_{false};
  std::atomic<Suspension> suspension_{Suspension::none};
};

/// Checks options against each other before anything is built. One message that names the option
/// and the remedy.
Result<> check(const RunOptions& options);

/// Trains. Blocks until the run has ended and its directory is complete.
/// @param progress  called from one thread of the run's, about four times a second
/// @return an error when the run could not start or could not be written; what was written before
/// stays, whole files only
Result<RunSummary> run(caf::actor_system& system, const RunOptions& options, const Network& network,
                       const Data& data, RunControl& control,
                       const std::function<void(const Progress&)>& progress);

}  // namespace paceline
