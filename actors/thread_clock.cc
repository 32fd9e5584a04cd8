#include "paceline/actors/thread_clock.h"

#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

namespace paceline {
namespace {

double seconds_of(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace

double thread_cpu_seconds() { return seconds_of(CLOCK_THREAD_CPUTIME_ID); }
double wall_seconds() { return seconds_of(CLOCK_MONOTONIC); }

void lower_thread_priority() {
  // Low enough that workers win every contest, high enough that an evaluation ends before the run
  // does.
  constexpr int kNice = 5;
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNice);
}

}  // namespace paceline
