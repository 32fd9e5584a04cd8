// What the processes of a run share beside slots and mailboxes: how far it has come, and what every
// worker has done. It lies on the board of the node's arena, and outlives each worker. Threading:
// every member guards itself; no order between them is promised.
// Where groups are processes of their own, each has these words for itself; what stands there of the
// others' seats they have told, a few times a second (actors/group_post.h).
//   RW-1 A seat's figures add up over all who sat there: a worker that was killed loses what it did
//        since it last wrote them, a second at most.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "paceline/actors/live_state.h"
#include "paceline/actors/place.h"
#include "paceline/actors/step_budget.h"

namespace paceline {

/// Counters by name, in shared memory. One thread adds, any thread reads.
class CountWords {
 public:
  void add(std::string_view name, std::uint64_t n);
  std::map<std::string, std::uint64_t, std::less<>> read() const;

 private:
  static constexpr std::size_t kMost = 32, kLongest = 23;
  struct Count {
    std::array<char, kLongest + 1> name{};  // ends with 0
    std::atomic<std::uint64_t> n{0};
  };
  std::array<Count, kMost> counts_{};
  std::atomic<std::uint32_t> used_{0};
};

/// How checkpoints are asked for (actors/checkpointer.h). The node's process writes, workers read.
struct CheckpointWords {
  std::atomic<bool> kept{false};  ///< roles have slots for their state; before anyone attaches
  std::atomic<std::uint64_t> asked{0};  ///< number of the request; 0: none yet
  /// At which of its own steps, or rounds of a synchronous protocol, a worker answers; set before
  /// `asked`. 0: the next boundary.
  std::atomic<std::uint64_t> at{0};
  std::atomic<std::uint64_t> released{0};  ///< the last request after which workers that wait go on
};
/// SeatWords::saved of a worker that has ended: its state is its last.
inline constexpr std::uint64_t kLastState = ~0ull;

/// What one worker, or rather all who had its rank, has done.
struct alignas(64) SeatWords {
  std::atomic<std::int64_t> alive_at{0};     ///< by the run's clock, in ns: when it last showed
  std::atomic<std::uint64_t> steps{0};       ///< gradients
  std::atomic<bool> claimed{false};          ///< has a step of the budget that it has not taken yet
  std::atomic<std::uint32_t> generation{0};  ///< how many had the rank before; set before it sits
  /// Of its last steps (StepSummary), in seconds; 0: too few yet.
  std::atomic<double> step_median{0}, step_spread{0};
  std::atomic<double> coordination_seconds{0}, train_seconds{0};
  std::atomic<double> decode_cpu_seconds{0}, data_wait_seconds{0};  ///< of a process of its own
  std::atomic<bool> gone{false};        ///< ended, and nobody has begun in its place
  std::atomic<bool> lost{false};        ///< ended before its time, and nobody will come
  std::atomic<bool> built{false};       ///< who sits here has its engine
  /// Nobody is to sit here: not yet, or no more. What stands here and in its slots is no worker's.
  std::atomic<bool> vacant{false};
  std::atomic<bool> dismissed{false};   ///< the worker is to end at its next step's boundary
  /// Of a worker of another process's group: the newest version that was heard of.
  std::atomic<std::uint64_t> published{0};
  std::atomic<std::uint64_t> place{0};  ///< its last boundary, as CheckpointWords::at counts
  /// The last request that its state answers; where there is a centre, that has by then all that the
  /// worker had sent it (Saved).
  std::atomic<std::uint64_t> saved{0};
  std::atomic<bool> continues{false};   ///< its state is where the next rider begins
  std::atomic<std::uint64_t> shown{0};  ///< the last of RunWords::show that it has answered
  CountWords counts;

  /// After the end of who sat here, or before anyone has.
  void vacate() {
    step_median.store(0);
    dismissed.store(false);
    gone.store(true);
    vacant.store(true);
  }
};

struct alignas(64) RunWords {
  explicit RunWords(std::uint64_t planned_steps) : budget(planned_steps) {}

  StepBudget budget;
  LiveState live;
  CheckpointWords checkpoint;
  /// How often workers were asked to show their parameters (Protocol::shown_on_request).
  std::atomic<std::uint64_t> show{0};

  SeatWords& seat(Rank rank) { return reinterpret_cast<SeatWords*>(this + 1)[rank]; }

  static constexpr std::size_t bytes(std::uint32_t seats) {
    return sizeof(RunWords) + seats * sizeof(SeatWords);
  }
  /// Makes a run's words, all at their beginning.
  /// @param board  zeroed, aligned to 64, at least bytes(seats); outlives the words
  static RunWords& make(std::span<std::byte> board, std::uint64_t planned_steps,
                        std::uint32_t seats) {
    auto* words = std::construct_at(reinterpret_cast<RunWords*>(board.data()), planned_steps);
    for (std::uint32_t i = 0; i < seats; ++i) std::construct_at(&words->seat(i));
    return *words;
  }
  /// Those that another process has made.
  static RunWords& at(std::span<std::byte> board) {
    return *reinterpret_cast<RunWords*>(board.data());
  }
};
static_assert(std::atomic<double>::is_always_lock_free, "shared between processes");

}  // namespace paceline
