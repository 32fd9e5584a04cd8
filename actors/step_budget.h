// How long a run goes on: a budget of steps that all workers draw from, and the flag that ends it
// early. Lies in shared memory. Threading: any thread of any process.
//   SB-1 No more steps are taken than were planned: a worker claims a step before it computes its
//        gradient.
//   SB-2 After stop() nobody gets another step; a step that was claimed is finished.
#pragma once

#include <atomic>
#include <cstdint>

namespace paceline {

class StepBudget {
 public:
  /// @param steps  in total, over all workers; 0: no bound
  explicit StepBudget(std::uint64_t steps) : planned_(steps) {}

  /// One step for the caller, or none.
  bool claim() {
    if (stopped_.load()) return false;
    if (planned_ == 0) return claimed_.fetch_add(1), true;
    std::uint64_t claimed = claimed_.load();
    while (claimed < planned_)
      if (claimed_.compare_exchange_weak(claimed, claimed + 1)) return true;
    return false;
  }
  /// Steps that were taken before a run was resumed. Before anyone claims one.
  void begin_at(std::uint64_t steps) { claimed_.store(steps); }
  /// Takes back a step that was claimed and will not be taken.
  void give_back() { claimed_.fetch_sub(1); }
  /// Whether nobody gets another step, as long as none is given back.
  bool exhausted() const {
    return stopped_.load() || (planned_ > 0 && claimed_.load() >= planned_);
  }
  void stop() { stopped_.store(true); }
  bool stopped() const { return stopped_.load(); }
  std::uint64_t planned() const { return planned_; }

 private:
  const std::uint64_t planned_;
  std::atomic<std::uint64_t> claimed_{0};
  std::atomic<bool> stopped_{false};
};

}  // namespace paceline
