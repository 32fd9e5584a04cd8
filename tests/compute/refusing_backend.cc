// A backend's shared object that says why it cannot be used.
#include "paceline/compute/device.h"

extern "C" paceline::Device* paceline_open_device(const paceline::DeviceOptions* options,
                                                  std::string* error) {
  *error = fmt::format("this machine has no device for {} threads", options->threads);
  return nullptr;
}
