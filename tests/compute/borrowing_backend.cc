// A backend's shared object that brings a device: the plain-loop reference, linked into it.
#include "paceline/compute/device.h"

extern "C" paceline::Device* paceline_open_device(const paceline::DeviceOptions* options,
                                                  std::string* error) {
  auto device = paceline::open_device("reference", *options);
  if (device) return device.value().release();
  *error = device.error().message;
  return nullptr;
}
