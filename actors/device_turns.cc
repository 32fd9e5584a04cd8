#include "paceline/actors/device_turns.h"

#include <algorithm>

namespace paceline {

Result<DeviceTurns> DeviceTurns::parse(std::string_view list) {
  std::vector<std::string> names;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    if (end == begin)
      return fail(
          std::errc::invalid_argument,
          "--device \"{}\" has an empty name: give one for all workers, or several that are "
          "dealt out in turn, as cuda,cpu",
          list);
    names.emplace_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return DeviceTurns(std::move(names));
}

std::uint32_t DeviceTurns::turn(Rank worker) const {
  std::uint32_t before = 0;
  for (Rank rank = 0; rank < worker; ++rank) before += of(rank) == of(worker) ? 1 : 0;
  return before;
}

std::vector<std::string> DeviceTurns::kinds() const {
  std::vector<std::string> kinds;
  for (const std::string& name : names_)
    if (std::ranges::find(kinds, name) == kinds.end()) kinds.push_back(name);
  return kinds;
}

Result<std::unique_ptr<Device>> DeviceTurns::open(const std::string& name,
                                                  DeviceOptions options) const {
  const bool others = !std::ranges::all_of(names_, &computes_in_f32_alone);
  if (others && computes_in_f32_alone(name)) options.precision = Precision::f32;
  return open_device(name, options);
}

}  // namespace paceline
