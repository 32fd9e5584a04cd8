// One way of running a pass, on trial: planned by the planner itself into a plan apart, over memory
// apart, so that what is timed is what would run.
#pragma once

#include <memory>

#include "paceline/compute/cpu/planner_internal.h"

namespace paceline {

class Planner::Trial {
 public:
  /// @param planner  as it was, afterwards; outlives the trial
  Trial(Planner& planner, std::size_t k, const Way& way, const Emit& emit);
  /// Of one run; infinite where there is no memory for it.
  double seconds();

 private:
  bool plan(Planner& planner, std::size_t k, const Way& way, const Emit& emit);

  std::unique_ptr<Plan> plan_;
  bool planned_;
  Pass pass_;
  dnnl::stream stream_;
};

}  // namespace paceline
