#include "paceline/actors/pinning.h"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <memory>

namespace paceline {
namespace {

/// What holds processors together: a core, a cache, …; from narrow to wide.
using Level = std::function<unsigned(const Processor&)>;
const Level kProcessor = [](const Processor& p) { return p.id; };
const Level kCore = [](const Processor& p) { return p.core; };
const Level kCache = [](const Processor& p) { return p.cache; };
const Level kNode = [](const Processor& p) { return p.node; };
const Level kPackage = [](const Processor& p) { return p.package; };
const Level kMachine = [](const Processor&) { return 0U; };

using Processors = std::vector<Processor>;

/// The processors by what holds them together, in their order.
std::vector<Processors> split(std::span<const Processor> all, const Level& level) {
  std::vector<Processors> parts;
  std::map<unsigned, std::size_t> part_of;
  for (const Processor& p : all) {
    const auto [at, added] = part_of.emplace(level(p), parts.size());
    if (added) parts.emplace_back();
    parts[at->second].push_back(p);
  }
  return parts;
}

/// As many shares of `threads` units each as there are, none across the bounds of `level`.
std::vector<Processors> shares_within(std::span<const Processor> all, const Level& level,
                                      const Level& unit, unsigned threads) {
  std::vector<Processors> shares;
  for (const Processors& domain : split(all, level)) {
    const std::vector<Processors> units = split(domain, unit);
    for (std::size_t first = 0; first + threads <= units.size(); first += threads) {
      Processors& share = shares.emplace_back();
      for (std::size_t i = first; i < first + threads; ++i)
        share.insert(share.end(), units[i].begin(), units[i].end());
    }
  }
  return shares;
}

ProcessorIds ids_of(const Processors& processors) {
  ProcessorIds ids;
  for (const Processor& p : processors) ids.push_back(p.id);
  std::ranges::sort(ids);
  return ids;
}

/// PN-2
std::vector<ProcessorIds> spread(const std::vector<Processors>& shares, const Place& place) {
  std::vector<ProcessorIds> seats;
  std::vector<bool> taken(shares.size());
  for (std::size_t i = 0; i < place.workers(); ++i) {
    const std::size_t at = i * shares.size() / place.workers();
    taken[at] = true;
    seats.push_back(ids_of(shares[at]));
  }
  std::vector<std::size_t> left;
  for (std::size_t i = 0; i < shares.size(); ++i)
    if (!taken[i]) left.push_back(i);
  for (std::size_t i = 0; i < place.spare; ++i) {
    if (left.empty())
      seats.push_back(seats[i % place.workers()]);
    else if (place.spare <= left.size())
      seats.push_back(ids_of(shares[left[i * left.size() / place.spare]]));
    else
      seats.push_back(ids_of(shares[left[i % left.size()]]));
  }
  return seats;
}

/// PN-4: the narrowest parts that are of one size, hold a worker's threads, and take as many workers
/// each.
std::vector<ProcessorIds> share_evenly(std::span<const Processor> all, const Place& place,
                                       unsigned threads) {
  std::vector<Processors> parts;
  for (const Level& level : {kProcessor, kCore, kCache, kNode, kPackage, kMachine}) {
    parts = split(all, level);
    const std::size_t size = parts[0].size();
    if (size >= threads && place.workers() % parts.size() == 0 &&
        std::ranges::all_of(parts, [&](const Processors& p) { return p.size() == size; }))
      break;
  }
  std::vector<ProcessorIds> seats;
  for (std::size_t i = 0; i < place.seats(); ++i)
    seats.push_back(ids_of(parts[i % place.workers() * parts.size() / place.workers()]));
  return seats;
}

/// A set for the system's calls, large enough for every processor there may be.
class SystemSet {
 public:
  static constexpr int kMost = 1 << 14;
  SystemSet() : set_(CPU_ALLOC(kMost), [](cpu_set_t* set) { CPU_FREE(set); }) {
    CPU_ZERO_S(bytes(), get());
  }
  static std::size_t bytes() { return CPU_ALLOC_SIZE(kMost); }
  cpu_set_t* get() const { return set_.get(); }
  void add(unsigned id) { CPU_SET_S(id, bytes(), get()); }
  bool has(unsigned id) const { return CPU_ISSET_S(id, bytes(), get()); }

 private:
  std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set_;
};

/// @return an errno, or 0
int keep_to(const ProcessorIds& ids) {
  SystemSet set;
  for (const unsigned id : ids) set.add(id);
  return sched_setaffinity(0, SystemSet::bytes(), set.get()) == 0 ? 0 : errno;
}

}  // namespace

ProcessorShares share_processors(std::span<const Processor> all, const Place& place,
                                 unsigned threads) {
  PACELINE_CHECK(!all.empty() && threads > 0, "{} processors, {} threads", all.size(), threads);
  for (const Level& unit : {kCore, kProcessor})
    for (const Level& level : {kCache, kNode, kPackage, kMachine}) {
      const std::vector<Processors> shares = shares_within(all, level, unit, threads);
      if (shares.size() >= place.workers()) return {spread(shares, place), false};
    }
  return {share_evenly(all, place, threads), true};
}

std::string show_processors(const ProcessorIds& ids) {
  std::string text;
  for (std::size_t i = 0; i < ids.size();) {
    std::size_t end = i + 1;
    while (end < ids.size() && ids[end] == ids[end - 1] + 1) ++end;
    text += text.empty() ? "" : ",";
    text += end - i == 1 ? fmt::format("{}", ids[i]) : fmt::format("{}-{}", ids[i], ids[end - 1]);
    i = end;
  }
  return text;
}

std::string show_shares(const ProcessorShares& shares, const Place& place) {
  std::string text = "pinned to processors:";
  for (Rank rank = 0; rank < place.workers(); ++rank)
    text += fmt::format("{} worker {} to {}", rank ? "," : "", rank,
                        show_processors(shares.seats[rank]));
  if (shares.shared) text += "; there are too few for all: they share them evenly";
  return text;
}

PinnedThread::PinnedThread(const ProcessorIds& ids) {
  if (ids.empty()) return;
  SystemSet now;
  if (sched_getaffinity(0, SystemSet::bytes(), now.get()) == 0)
    for (unsigned id = 0; id < SystemSet::kMost; ++id)
      if (now.has(id)) before_.push_back(id);
  if (const int error = keep_to(ids); error != 0)
    failure_ = fail_errno(error, "cannot be pinned to processors {}", show_processors(ids));
}

PinnedThread::~PinnedThread() {
  if (!before_.empty()) keep_to(before_);
}

}  // namespace paceline
