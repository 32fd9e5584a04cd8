// Tells of what checksums find in slots: somebody wrote into what was published. Threading: one
// thread, the run's.
//   SW-1 A slot is named once; what is found in it later is counted alone.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "paceline/actors/run_context.h"

namespace paceline {

class SlotWatch {
 public:
  /// @param context  outlives this; its arenas have checksums, or there is nothing to tell
  explicit SlotWatch(const RunContext& context) : context_(context) {}

  /// Records what has been found since it last looked.
  void look();
  /// How many pins found damage when it last looked.
  std::uint64_t found() const { return found_; }

 private:
  const RunContext& context_;
  std::uint64_t found_ = 0;
  std::set<std::string> named_;
};

}  // namespace paceline
