// One descriptor of cuDNN's backend (graph) API: what is said of it, then finalised, then read.
//   GD-1 The first thing that fails is kept and all after it is passed over; finalize() returns it.
//        So attributes are set one behind the other, and asked about once.
//   GD-2 An error names the descriptor, the attribute, cuDNN's status and cuDNN's last message.
// Move-only; one thread at a time. Needs neither a GPU nor a driver.
#pragma once

#include <cudnn.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "paceline/result.h"

namespace paceline::cuda {

/// An attribute with its name, which cuDNN does not tell.
struct GraphAttribute {
  cudnnBackendAttributeName_t value;
  const char* name;
};
#define PACELINE_CUDNN_ATTRIBUTE(name) \
  ::paceline::cuda::GraphAttribute { CUDNN_ATTR_##name, #name }

/// "tensor x, TENSOR_STRIDES: CUDNN_STATUS_BAD_PARAM (cuDNN's last message)"
Error cudnn_failure(cudnnStatus_t status, std::string_view what);

class GraphDescriptor {
 public:
  /// @param what  for messages: "tensor x", "execution plan"
  GraphDescriptor(cudnnBackendDescriptorType_t type, const char* what);
  GraphDescriptor(GraphDescriptor&& other) noexcept;
  GraphDescriptor& operator=(GraphDescriptor&& other) noexcept;
  ~GraphDescriptor();

  GraphDescriptor& set(GraphAttribute attribute, std::int64_t value);
  GraphDescriptor& set(GraphAttribute attribute, std::span<const std::int64_t> values);
  GraphDescriptor& set(GraphAttribute attribute, float value);
  GraphDescriptor& set(GraphAttribute attribute, cudnnDataType_t value);
  GraphDescriptor& set(GraphAttribute attribute, cudnnConvolutionMode_t value);
  GraphDescriptor& set(GraphAttribute attribute, cudnnBackendHeurMode_t value);
  GraphDescriptor& set(GraphAttribute attribute, cudnnHandle_t value);
  GraphDescriptor& set(GraphAttribute attribute, const GraphDescriptor& value);
  GraphDescriptor& set_text(GraphAttribute attribute, std::string_view value);
  GraphDescriptor& set_pointer(GraphAttribute attribute, void* value);
  GraphDescriptor& set_pointers(GraphAttribute attribute, std::span<void* const> values);
  /// @return GD-2's error of whatever has failed first
  Result<> finalize();

  Result<std::int64_t> get_integer(GraphAttribute attribute) const;
  Result<cudnnBackendKnobType_t> get_knob_type(GraphAttribute attribute) const;
  Result<std::vector<cudnnBackendNumericalNote_t>> get_notes(GraphAttribute attribute) const;
  /// Descriptors that this one holds, up to `most` of them, each of `type`.
  /// @param what  the names of what is returned
  Result<std::vector<GraphDescriptor>> get_descriptors(GraphAttribute attribute,
                                                       cudnnBackendDescriptorType_t type,
                                                       const char* what, std::size_t most) const;

  cudnnBackendDescriptor_t get() const { return descriptor_; }

 private:
  GraphDescriptor& set_raw(GraphAttribute attribute, cudnnBackendAttributeType_t type,
                           std::size_t count, const void* values);
  Result<std::int64_t> get_raw(GraphAttribute attribute, cudnnBackendAttributeType_t type,
                               std::size_t most, void* values) const;

  const char* what_;
  cudnnBackendDescriptor_t descriptor_ = nullptr;
  std::optional<Error> failure_;
};

}  // namespace paceline::cuda
