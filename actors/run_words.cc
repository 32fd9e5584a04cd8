#include "paceline/actors/run_words.h"

#include <algorithm>
#include <cstring>

#include "paceline/result.h"

namespace paceline {

void CountWords::add(std::string_view name, std::uint64_t n) {
  const std::uint32_t used = used_.load();
  std::uint32_t i = 0;
  while (i < used && counts_[i].name.data() != name) ++i;
  if (i == used) {
    PACELINE_CHECK(used < kMost && name.size() <= kLongest, "no room to count '{}'", name);
    std::memcpy(counts_[i].name.data(), name.data(), name.size());
    used_.store(used + 1);
  }
  counts_[i].n.fetch_add(n);
}

std::map<std::string, std::uint64_t, std::less<>> CountWords::read() const {
  std::map<std::string, std::uint64_t, std::less<>> counts;
  for (std::uint32_t i = 0; i < used_.load(); ++i)
    counts[counts_[i].name.data()] += counts_[i].n.load();
  return counts;
}

}  // namespace paceline
