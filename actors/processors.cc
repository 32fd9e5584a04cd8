#include "paceline/actors/processors.h"

#include <hwloc.h>

#include <cerrno>
#include <memory>
#include <type_traits>

namespace paceline {
namespace {

using Topology =
    std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, decltype(&hwloc_topology_destroy)>;

Result<Topology> topology_of(const std::string& synthetic) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return fail_errno(errno, "cannot look at the processors");
  Topology topology(raw, &hwloc_topology_destroy);
  if (!synthetic.empty() && hwloc_topology_set_synthetic(raw, synthetic.c_str()) != 0)
    return fail(std::errc::invalid_argument, "'{}' describes no machine", synthetic);
  if (hwloc_topology_load(raw) != 0) return fail_errno(errno, "cannot look at the processors");
  return topology;
}

/// The number of the enclosing thing of this type; `otherwise` where there is none.
unsigned within(hwloc_topology_t topology, hwloc_obj_type_t type, hwloc_obj_t processor,
                unsigned otherwise) {
  const hwloc_obj_t outer = hwloc_get_ancestor_obj_by_type(topology, type, processor);
  return outer ? outer->logical_index : otherwise;
}

std::vector<Processor> processors_of(hwloc_topology_t topology) {
  std::vector<Processor> all;
  const int count = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_PU);
  for (int i = 0; i < count; ++i) {
    const hwloc_obj_t pu = hwloc_get_obj_by_type(topology, HWLOC_OBJ_PU, static_cast<unsigned>(i));
    Processor p;
    p.id = pu->os_index;
    p.core = within(topology, HWLOC_OBJ_CORE, pu, pu->logical_index);
    p.package = within(topology, HWLOC_OBJ_PACKAGE, pu, 0);
    const int node = pu->nodeset ? hwloc_bitmap_first(pu->nodeset) : -1;
    p.node = node < 0 ? p.package : static_cast<unsigned>(node);
    p.cache = within(topology, HWLOC_OBJ_L3CACHE, pu, p.node);
    all.push_back(p);
  }
  return all;
}

}  // namespace

Result<std::vector<Processor>> read_processors() {
  PACELINE_TRY(const Topology topology, topology_of(""));
  // The topology is of the control group; what taskset left of that is this thread's.
  const std::unique_ptr<hwloc_bitmap_s, decltype(&hwloc_bitmap_free)> allowed(hwloc_bitmap_alloc(),
                                                                              &hwloc_bitmap_free);
  if (hwloc_get_cpubind(topology.get(), allowed.get(), HWLOC_CPUBIND_THREAD) == 0)
    hwloc_topology_restrict(topology.get(), allowed.get(), 0);
  return processors_of(topology.get());
}

Result<std::vector<Processor>> imagined_processors(const std::string& synthetic) {
  PACELINE_TRY(const Topology topology, topology_of(synthetic));
  return processors_of(topology.get());
}

}  // namespace paceline
