#include "paceline/actors/simulation/step_traffic.h"

#include <algorithm>

#include "paceline/actors/simulation/objectives.h"
#include "paceline/actors/simulation/virtual_time.h"

namespace paceline {

Result<double> bytes_per_parameter_step(const Protocol& protocol, const Settings& settings,
                                        const Place& place) {
  VirtualRun run;
  run.protocol = &protocol;
  run.settings = settings;
  run.place = protocol.sequential ? Place{1, 1} : place;
  run.dimension = 3840;  // divides by up to 6 workers and by the four elements of a code's byte
  run.math = &vector_math_f32();
  run.sgd = {.learning_rate = 0, .momentum = 0, .weight_decay = 0, .form = Momentum::none};
  if (!protocol.takes(run.sgd.form)) run.sgd.form = Momentum::sutskever;
  run.engine = [](Rank rank) { return std::make_unique<Level<float>>(1.0 + rank); };
  run.steps = 2400;
  PACELINE_TRY(VirtualTime time, VirtualTime::create(run));
  time.run();
  std::vector<double> of_workers;
  for (Rank rank = 0; rank < run.place.workers(); ++rank)
    of_workers.push_back(static_cast<double>(time.moved({rank}).bytes()));
  std::ranges::sort(of_workers);
  const double median = of_workers[of_workers.size() / 2];
  return median / static_cast<double>(run.dimension * run.steps);
}

}  // namespace paceline
