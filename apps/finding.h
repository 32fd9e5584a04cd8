// What one examination of the machine found.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace paceline {

enum class Mark : std::uint8_t {
  ok,
  note,  ///< absent, and not needed on one machine
  warn,  ///< training works, but less well
  fail,  ///< training does not work
};

struct Finding {
  std::string subject;  ///< "/dev/shm"
  Mark mark = Mark::ok;
  std::string found;   ///< one line
  std::string remedy;  ///< one line; empty when there is nothing to do
};

// The families of examinations; each changes nothing that outlives it.
std::vector<Finding> examine_machine();   ///< processor, memory, shared memory, limits
std::vector<Finding> examine_fabrics();   ///< between nodes: TCP, RDMA and what it needs
std::vector<Finding> examine_software();  ///< backends, libraries, folders

/// Bytes that this process can still get, as far as the system tells.
double available_memory();

}  // namespace paceline
