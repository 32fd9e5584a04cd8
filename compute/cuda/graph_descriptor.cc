#include "paceline/compute/cuda/graph_descriptor_internal.h"

#include <array>
#include <utility>

namespace paceline::cuda {

Error cudnn_failure(cudnnStatus_t status, std::string_view what) {
  std::array<char, 512> message{};
  cudnnGetLastErrorString(message.data(), message.size());
  std::string said(message.data());
  // One line for people (RS-2); cuDNN's own may have several.
  while (!said.empty() && (said.back() == '\n' || said.back() == ' ')) said.pop_back();
  for (char& c : said)
    if (c == '\n') c = ' ';
  return fail(std::errc::not_supported, "{}: {}{}{}{}", what, cudnnGetErrorString(status),
              said.empty() ? "" : " (", said, said.empty() ? "" : ")");
}

GraphDescriptor::GraphDescriptor(cudnnBackendDescriptorType_t type, const char* what)
    : what_(what) {
  if (const auto status = cudnnBackendCreateDescriptor(type, &descriptor_);
      status != CUDNN_STATUS_SUCCESS)
    failure_ = cudnn_failure(status, what_);
}

GraphDescriptor::GraphDescriptor(GraphDescriptor&& other) noexcept
    : what_(other.what_),
      descriptor_(std::exchange(other.descriptor_, nullptr)),
      failure_(std::move(other.failure_)) {}

GraphDescriptor& GraphDescriptor::operator=(GraphDescriptor&& other) noexcept {
  what_ = other.what_;
  std::swap(descriptor_, other.descriptor_);
  std::swap(failure_, other.failure_);
  return *this;
}

GraphDescriptor::~GraphDescriptor() {
  if (descriptor_ != nullptr) cudnnBackendDestroyDescriptor(descriptor_);
}

GraphDescriptor& GraphDescriptor::set_raw(GraphAttribute attribute,
                                          cudnnBackendAttributeType_t type, std::size_t count,
                                          const void* values) {
  if (failure_) return *this;
  const auto status = cudnnBackendSetAttribute(descriptor_, attribute.value, type,
                                               static_cast<std::int64_t>(count), values);
  if (status != CUDNN_STATUS_SUCCESS)
    failure_ = cudnn_failure(status, fmt::format("{}, {}", what_, attribute.name));
  return *this;
}

GraphDescriptor& GraphDescriptor::set(GraphAttribute attribute, std::int64_t value) {
  return set_raw(attribute, CUDNN_TYPE_INT64, 1, &value);
}
GraphDescriptor& GraphDescriptor::set(GraphAttribute attribute,
                                      std::span<const std::int64_t> values) {
  return set_raw(attribute, CUDNN_TYPE_INT64, values.size(), values.data());
}
GraphDescriptor& GraphDescriptor::set(GraphAttribute attribute, float value) {
  return set_raw(attribute, CUDNN_TYPE_FLOAT, 1, &value);
}
GraphDescriptor& GraphDescriptor::set(GraphAttribute attribute, cudnnDataType_t value) {
  return set_raw(attribute, CUDNN_TYPE_DATA_TYPE, 1, &value);
}
GraphDescriptor& GraphDescriptor::set(GraphAttribute attribute, cudnnConvolutionMode_t value) {
  return set_raw(attribute, CUDNN_TYPE_CONVOLUTION_MODE, 1, &value);
}
GraphDescriptor& GraphDescriptor::set(GraphAttribute attribute, cudnnBackendHeurMode_t value) {
  return set_raw(attribute, CUDNN_TYPE_HEUR_MODE, 1, &value);
}
GraphDescriptor& GraphDescriptor::set(GraphAttribute attribute, cudnnHandle_t value) {
  return set_raw(attribute, CUDNN_TYPE_HANDLE, 1, &value);
}
GraphDescriptor& GraphDescriptor::set(GraphAttribute attribute, const GraphDescriptor& value) {
  return set_raw(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value.descriptor_);
}
GraphDescriptor& GraphDescriptor::set_text(GraphAttribute attribute, std::string_view value) {
  return set_raw(attribute, CUDNN_TYPE_CHAR, value.size(), value.data());
}
GraphDescriptor& GraphDescriptor::set_pointer(GraphAttribute attribute, void* value) {
  return set_raw(attribute, CUDNN_TYPE_VOID_PTR, 1, &value);
}
GraphDescriptor& GraphDescriptor::set_pointers(GraphAttribute attribute,
                                               std::span<void* const> values) {
  return set_raw(attribute, CUDNN_TYPE_VOID_PTR, values.size(), values.data());
}

Result<> GraphDescriptor::finalize() {
  if (failure_) return *failure_;
  if (const auto status = cudnnBackendFinalize(descriptor_); status != CUDNN_STATUS_SUCCESS)
    return cudnn_failure(status, what_);
  return success();
}

Result<std::int64_t> GraphDescriptor::get_raw(GraphAttribute attribute,
                                              cudnnBackendAttributeType_t type, std::size_t most,
                                              void* values) const {
  if (failure_) return *failure_;
  std::int64_t count = 0;
  const auto status = cudnnBackendGetAttribute(descriptor_, attribute.value, type,
                                               static_cast<std::int64_t>(most), &count, values);
  if (status != CUDNN_STATUS_SUCCESS)
    return cudnn_failure(status, fmt::format("{}, {}", what_, attribute.name));
  return count;
}

Result<std::int64_t> GraphDescriptor::get_integer(GraphAttribute attribute) const {
  std::int64_t value = 0;
  PACELINE_TRYV(get_raw(attribute, CUDNN_TYPE_INT64, 1, &value));
  return value;
}

Result<cudnnBackendKnobType_t> GraphDescriptor::get_knob_type(GraphAttribute attribute) const {
  cudnnBackendKnobType_t value = CUDNN_KNOB_TYPE_COUNTS;
  PACELINE_TRYV(get_raw(attribute, CUDNN_TYPE_KNOB_TYPE, 1, &value));
  return value;
}

Result<std::vector<cudnnBackendNumericalNote_t>> GraphDescriptor::get_notes(
    GraphAttribute attribute) const {
  std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  PACELINE_TRY(const auto count,
               get_raw(attribute, CUDNN_TYPE_NUMERICAL_NOTE, notes.size(), notes.data()));
  notes.resize(std::min(notes.size(), static_cast<std::size_t>(count)));
  return notes;
}

Result<std::vector<GraphDescriptor>> GraphDescriptor::get_descriptors(
    GraphAttribute attribute, cudnnBackendDescriptorType_t type, const char* what,
    std::size_t most) const {
  // cuDNN fills descriptors that the caller has made. How many it will fill it does not always tell:
  // asked about knob choices without room for any, it says none.
  std::vector<GraphDescriptor> made;
  std::vector<cudnnBackendDescriptor_t> raw;
  made.reserve(most);
  for (std::size_t i = 0; i < most; ++i) {
    made.emplace_back(type, what);
    if (made.back().failure_) return *made.back().failure_;
    raw.push_back(made.back().descriptor_);
  }
  PACELINE_TRY(const auto count,
               get_raw(attribute, CUDNN_TYPE_BACKEND_DESCRIPTOR, most, raw.data()));
  while (made.size() > static_cast<std::size_t>(count)) made.pop_back();
  return made;
}

}  // namespace paceline::cuda
