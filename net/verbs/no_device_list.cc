// Of builds without libibverbs.
#include "paceline/net/verbs/device_list.h"

namespace paceline {

Result<std::vector<RdmaDevice>> rdma_devices() {
  return fail(std::errc::function_not_supported, "this build is without RDMA");
}

}  // namespace paceline
