// Who leads: the lowest finite score with a published version, ties to the lowest rank.
//   EL-1 The result does not depend on the order of the votes.
//   EL-2 NaN, an infinite score (a window that is not full) and version 0 never lead.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>

#include "paceline/actors/place.h"

namespace paceline {

struct Candidate {
  Rank rank = kNobody;
  double score = std::numeric_limits<double>::infinity();
  std::uint64_t version = 0;  ///< what it published last; 0: nothing

  bool eligible() const { return rank != kNobody && version > 0 && std::isfinite(score); }
};

class Ballot {
 public:
  /// The last vote of a rank counts.
  void cast(const Candidate& candidate) { votes_[candidate.rank] = candidate; }
  void withdraw(Rank rank) { votes_.erase(rank); }
  void clear() { votes_.clear(); }
  /// Rank kNobody when nobody is eligible.
  Candidate best() const {
    Candidate best;
    for (const auto& [rank, vote] : votes_)  // by rank, so that the first of equals stays
      if (vote.eligible() && vote.score < best.score) best = vote;
    return best;
  }

 private:
  std::map<Rank, Candidate> votes_;
};

}  // namespace paceline
