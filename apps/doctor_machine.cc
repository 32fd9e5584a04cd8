// Processor, memory, shared memory and the system's limits, from /proc, /sys and the calls for
// them.
#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>

#include "paceline/apps/finding.h"
#include "paceline/apps/option_value.h"
#include "paceline/apps/readable_number.h"
#include "paceline/net/arena.h"

namespace paceline {
namespace {

constexpr double kMiB = 1024.0 * 1024, kGiB = 1024 * kMiB;
/// What a handful of workers' slots take, with room; what Docker gives is less.
constexpr double kComfortableShm = 256 * kMiB;
constexpr double kLittleMemory = 1 * kGiB;

/// The rest of the first line that starts with `key`, without ':' and blanks.
std::string line_after(const char* file, std::string_view key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t value = line.find_first_not_of(": \t", key.size());
    if (value != std::string::npos) return line.substr(value);
  }
  return {};
}

std::string first_line(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

/// The first word of a text, as a number; nothing for "max".
std::optional<double> number(const std::string& text) {
  std::istringstream stream(text);
  double value = 0;
  if (stream >> value) return value;
  return std::nullopt;
}

/// A control group's file, in this process's group or, in a container, at the root of what it sees.
std::string cgroup_line(std::string_view controller, const char* file_v1, const char* file_v2) {
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool v2 = controllers.empty();
    if (!v2 && controllers.find(controller) == std::string::npos) continue;
    std::filesystem::path root = "/sys/fs/cgroup";
    if (!v2) root /= controllers;
    const char* file = v2 ? file_v2 : file_v1;
    for (const std::string& folder : {line.substr(second + 1), std::string("/")}) {
      if (file == nullptr) continue;
      const std::string found = first_line(root.string() + folder + "/" + file);
      if (!found.empty()) return found;
    }
  }
  return {};
}

std::string errno_words() { return std::generic_category().message(errno); }

Finding examine_processor() {
  std::string model = line_after("/proc/cpuinfo", "model name");
  if (model.empty()) model = "processor of unknown model";
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2"), avx512 = __builtin_cpu_supports("avx512f");
  const char* vectors = avx512 ? "AVX-512" : avx2 ? "AVX2" : "no AVX2";
  if (!avx2) {
    return {"processor", Mark::warn, fmt::format("{}, {}", model, vectors),
            "training works, but several times slower than with AVX2"};
  }
  return {"processor", Mark::ok, fmt::format("{}, {}", model, vectors), ""};
#else
  return {"processor", Mark::ok, model, ""};
#endif
}

Finding examine_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int usable = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
  std::optional<double> share;  // of cores, from the control group
  std::istringstream v2(cgroup_line("cpu", "", "cpu.max"));
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period && number(quota) && period > 0) share = *number(quota) / period;
  if (!share) {
    const auto used = number(cgroup_line("cpu", "cpu.cfs_quota_us", nullptr));
    const auto length = number(cgroup_line("cpu", "cpu.cfs_period_us", nullptr));
    if (used && length && *used > 0 && *length > 0) share = *used / *length;
  }
  std::string found = fmt::format("{} usable", usable);
  if (share && *share < usable) found += fmt::format(", limited to the time of {:.1f}", *share);
  if (std::min(share.value_or(usable), double(usable)) < 2) {
    return {"cores", Mark::warn, found, "workers take turns on one core: expect one worker's pace"};
  }
  return {"cores", Mark::ok, found, ""};
}

struct MemoryFigures {
  double total = 0, available = 0;  ///< bytes, of the machine
  std::optional<double> limit;      ///< of this process's group, where it is below the total
};
MemoryFigures memory_figures() {
  // /proc/meminfo counts in KiB.
  MemoryFigures memory{
      .total = number(line_after("/proc/meminfo", "MemTotal")).value_or(0) * 1024,
      .available = number(line_after("/proc/meminfo", "MemAvailable")).value_or(0) * 1024,
      .limit = number(cgroup_line("memory", "memory.limit_in_bytes", "memory.max"))};
  if (memory.limit && *memory.limit >= memory.total) memory.limit.reset();
  return memory;
}

Finding examine_memory() {
  const MemoryFigures memory = memory_figures();
  std::string found = fmt::format("{}, {} available", readable_bytes(memory.total),
                                  readable_bytes(memory.available));
  if (memory.limit) found += fmt::format(", limited to {}", readable_bytes(*memory.limit));
  if (available_memory() < kLittleMemory) {
    return {"memory", Mark::warn, found, "fewer --workers or a smaller --batch need less"};
  }
  return {"memory", Mark::ok, found, ""};
}

Finding examine_shared_memory() {
  const char* remedy = "mount -o remount,size=1G /dev/shm; with Docker: --shm-size=1g";
  struct statvfs state {};
  if (statvfs("/dev/shm", &state) != 0) {
    return {"/dev/shm", Mark::fail, "is not there", "mount -t tmpfs tmpfs /dev/shm"};
  }
  const double unit = static_cast<double>(state.f_frsize);
  const double total = unit * static_cast<double>(state.f_blocks);
  const double available = unit * static_cast<double>(state.f_bavail);
  const std::string found =
      fmt::format("{}, {} free", readable_bytes(total), readable_bytes(available));
  const auto arena = Arena::create({.name = "doctor", .slots = {{.bytes = 1 << 20}}});
  if (!arena) return {"/dev/shm", Mark::fail, arena.error().message, remedy};
  if (available < kComfortableShm) {
    return {"/dev/shm", Mark::warn, found + ": too little for large networks", remedy};
  }
  return {"/dev/shm", Mark::ok, found + "; an arena was made and removed", ""};
}

Finding examine_huge_pages() {
  const std::string modes = first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled");
  const std::size_t begin = modes.find('['), end = modes.find(']');
  if (begin == std::string::npos || end == std::string::npos) {
    return {"huge pages", Mark::note, "this kernel does not say", ""};
  }
  const std::string mode = modes.substr(begin + 1, end - begin - 1);
  if (mode != "never" && mode != "deny") {
    return {"huge pages", Mark::ok, "for shared memory: " + mode, ""};
  }
  return {"huge pages", Mark::note, "for shared memory: " + mode + "; slots use small pages",
          "as root: echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"};
}

/// Whether the deaths of workers' processes are noticed at once (net/child_process).
Finding examine_pidfd() {
  const auto self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
  if (self >= 0) {
    close(self);
    return {"pidfd", Mark::ok, "the end of a worker's process is noticed at once", ""};
  }
  return {"pidfd", Mark::warn,
          fmt::format("pidfd_open: {}; --isolation process does not work", errno_words()),
          "Linux 5.3 or newer, and a seccomp profile (container) that allows pidfd_open; or "
          "--isolation thread"};
}

/// Whether a child can be told to end with its parent.
Finding examine_death_signal() {
  int before = 0;
  if (prctl(PR_GET_PDEATHSIG, &before) == 0 && prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 &&
      prctl(PR_SET_PDEATHSIG, before) == 0) {
    return {"PR_SET_PDEATHSIG", Mark::ok, "a process can be told to end with its parent", ""};
  }
  return {"PR_SET_PDEATHSIG", Mark::warn,
          fmt::format("{}; --isolation process does not work", errno_words()),
          "a seccomp profile (container) that allows prctl; or --isolation thread"};
}

/// Whether a sleeping receiver of a mailbox can be woken from another process.
Finding examine_futex() {
  std::uint32_t word = 1;
  // Shared, as mailboxes use it; the word is not 0, so that nobody sleeps.
  if (syscall(SYS_futex, &word, FUTEX_WAIT, 0, nullptr, nullptr, 0) == -1 && errno == EAGAIN &&
      syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0) == 0) {
    return {"futex", Mark::ok, "mailboxes between processes can sleep and be woken", ""};
  }
  return {
      "futex", Mark::warn, fmt::format("{}; --isolation process does not work", errno_words()),
      "a kernel with futexes and a seccomp profile (container) that allows them; or --isolation "
      "thread"};
}

}  // namespace

double available_memory() {
  const MemoryFigures memory = memory_figures();
  return std::min(memory.available, memory.limit.value_or(memory.available));
}

std::vector<Finding> examine_machine() {
  return {examine_processor(),  examine_cores(), examine_memory(),       examine_shared_memory(),
          examine_huge_pages(), examine_pidfd(), examine_death_signal(), examine_futex()};
}

}  // namespace paceline
