// Which devices the workers of a run compute on: a list, dealt out in turn by rank. The same in every
// process of the run.
//   DT-1 A worker and whoever sits in its seat after it compute on the same kind of device.
//   DT-2 Accelerators of one kind are dealt out in turn over the workers of that kind alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "paceline/actors/place.h"
#include "paceline/compute/device.h"
#include "paceline/result.h"

namespace paceline {

class DeviceTurns {
 public:
  DeviceTurns() = default;  ///< "cpu" for all
  /// @param list  names of backends: "cpu", "cuda,cpu,cpu"
  /// @return an error that names an empty one
  static Result<DeviceTurns> parse(std::string_view list);

  std::size_t count() const { return names_.size(); }
  const std::string& of(Rank worker) const { return names_[worker % names_.size()]; }
  /// How many workers of lower rank compute on the same kind: for Device::use_for().
  std::uint32_t turn(Rank worker) const;
  /// Each name once, the first of the list first.
  std::vector<std::string> kinds() const;
  bool mixed() const { return kinds().size() > 1; }
  /// Where kinds are mixed, those that compute in f32 alone are not asked for another precision.
  Result<std::unique_ptr<Device>> open(const std::string& name, DeviceOptions options) const;

 private:
  explicit DeviceTurns(std::vector<std::string> names) : names_(std::move(names)) {}
  std::vector<std::string> names_{"cpu"};  // at least one
};

}  // namespace paceline
