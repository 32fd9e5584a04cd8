// A run's clock: the machine's, less the time for which the run was suspended. Deadlines, signs of life
// and training time go by it, so that a Ctrl-Z makes nobody late. It lies in shared memory, since all
// processes of a run go by the same. Threading: suspend() and go_on() from one thread, the run's;
// now() from any of any process.
//   RC-1 While the run is suspended the clock stands still; from then on it is behind by as much.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>

namespace paceline {

class RunClock {
 public:
  /// @param wall  wall_seconds(), just now
  double now(double wall) const {
    for (;;) {
      const std::uint32_t changes = changes_.load();
      const double since = since_.load(), lost = lost_.load();
      if (changes % 2 == 0 && changes_.load() == changes)
        return (since > 0 ? std::min(since, wall) : wall) - lost;
      std::this_thread::yield();
    }
  }
  void suspend(double wall) {
    changes_.fetch_add(1);
    since_.store(wall);
    changes_.fetch_add(1);
  }
  /// @pre suspend() came before
  void go_on(double wall) {
    changes_.fetch_add(1);
    lost_.store(lost_.load() + wall - since_.exchange(0));
    changes_.fetch_add(1);
  }

 private:
  std::atomic<std::uint32_t> changes_{0};  // odd: in the middle of one
  std::atomic<double> since_{0};           // wall_seconds() of suspend(); 0: it runs
  std::atomic<double> lost_{0};            // seconds, of suspensions that are over
};

}  // namespace paceline
