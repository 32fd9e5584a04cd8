// What has been read over the fabric, by group. Threading: any thread; the recorder adds.
#pragma once

#include <mutex>
#include <vector>

#include "paceline/actors/event.h"
#include "paceline/actors/run.h"

namespace paceline {

class FabricReadCounts {
 public:
  using Reads = RunSummary::FabricReads;

  void add(std::uint32_t group, const ReadEvent& e) {
    const std::lock_guard lock(mutex_);
    if (e.for_group && group >= groups_.size()) groups_.resize(group + 1);
    Reads& reads = e.for_group ? groups_[group] : tests_;
    ++reads.reads;
    reads.bytes += e.bytes;
    reads.retries += e.retries;
    reads.retried_bytes += e.retried_bytes;
  }
  /// @param groups  how many there are
  void report(std::uint32_t groups, RunSummary& summary) const {
    const std::lock_guard lock(mutex_);
    summary.fabric_reads = groups_;
    summary.fabric_reads.resize(groups);
    summary.fabric_tests = tests_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Reads> groups_;
  Reads tests_;
};

}  // namespace paceline
