// The training steps that an executable has taken, by all that a captured graph of one depends on.
//   CS-1 A key holds every address and every number that a graph has in it: two steps of one key differ
//        in what lies at those addresses alone.
//   CS-2 The newest kMost keys are kept; what belongs to an older one goes.
// One thread. Finding a key that is kept allocates nothing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "paceline/compute/program.h"
#include "paceline/compute/vector_math.h"

namespace paceline::cuda {

/// The optimiser's part of a step; the step's constants lie in the device's memory.
struct StepUpdate {
  float* x = nullptr;         ///< null: none is taken
  float* momentum = nullptr;  ///< null without one
  Momentum form = Momentum::none;
  std::span<const ElementRange> undecayed = {};  ///< compared by what is in it
  bool operator==(const StepUpdate& other) const {
    return x == other.x && momentum == other.momentum && form == other.form &&
           std::ranges::equal(undecayed, other.undecayed);
  }
};

struct GraphKey {
  const void* x = nullptr;
  const void* weights = nullptr;
  const void* g = nullptr;
  const void* buffers = nullptr;
  const void* images = nullptr;
  const void* cuts = nullptr;
  const void* labels = nullptr;
  const void* scale = nullptr;
  const void* shift = nullptr;
  Shape stored = {};  ///< of bytes
  StepUpdate update = {};
  bool operator==(const GraphKey&) const = default;
};

/// @tparam G  what is captured of a step: null, or nothing, at first
template <class G>
class CapturedSteps {
 public:
  static constexpr std::size_t kMost =
      8;  ///< two input buffers, with and without the update, and vectors
          ///< that change now and then
  /// Null for a key that is new, which is kept from now on.
  G* find(const GraphKey& key) {
    const auto known = std::ranges::find(entries_, key, &Entry::key);
    if (known != entries_.end()) return &known->captured;
    if (entries_.size() == kMost) entries_.erase(entries_.begin());
    entries_.push_back({key, {key.update.undecayed.begin(), key.update.undecayed.end()}, G{}});
    entries_.back().key.update.undecayed = entries_.back().undecayed;
    return nullptr;
  }

 private:
  struct Entry {
    GraphKey key;
    std::vector<ElementRange> undecayed;  // the key's: its elements stay where they are in a move
    G captured;
  };
  std::vector<Entry> entries_;
};

}  // namespace paceline::cuda
