#include "paceline/compute/cpu/planner_trial_internal.h"

#include <chrono>
#include <limits>
#include <new>
#include <utility>

namespace paceline {

Planner::Trial::Trial(Planner& planner, std::size_t k, const Way& way, const Emit& emit)
    : plan_(std::make_unique<Plan>(planner.engine_)), stream_(planner.engine_) {
  const Site site = planner.sites_[k];
  const auto copies = std::exchange(planner.copies_, {});
  std::swap(planner.plan_, plan_);
  planned_ = plan(planner, k, way, emit);
  std::swap(planner.plan_, plan_);
  planner.copies_ = copies;
  planner.sites_[k] = site;
}

bool Planner::Trial::plan(Planner& planner, std::size_t k, const Way& way, const Emit& emit) {
  Plan& plan = *planner.plan_;
  Site& site = planner.sites_[k];
  try {
    // Zeros stay zeros whatever runs, and are never denormal.
    planner.trial_parameters_.resize(planner.program_.parameter_elements);
    float* const parameters = planner.trial_parameters_.data();
    pass_ = {.stream = stream_.get(), .x = parameters, .g = parameters};
    site.mirrored_weight = {};
    site.weight =
        planner.flat(plan.parameters, planner.operation(k).weight, site.weight.get_desc());
    emit(way, plan.arena.place(way.from));
    for (const auto* tensors : {&plan.parameters, &plan.gradients})
      for (const FlatTensor& tensor : *tensors)
        dnnl::memory(tensor.memory).set_data_handle(parameters + tensor.offset);
    return plan.arena.commit().has_value();
  } catch (const dnnl::error&) {
  } catch (const std::bad_alloc&) {
  }
  return false;
}

double Planner::Trial::seconds() {
  if (!planned_) return std::numeric_limits<double>::infinity();
  const auto start = std::chrono::steady_clock::now();
  for (const auto* steps : {&plan_->forward, &plan_->backward})
    for (const PlannedStep& planned : *steps) planned.step->run(pass_);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace paceline
