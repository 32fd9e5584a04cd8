#include "paceline/compute/cuda/operands_internal.h"

#include "paceline/compute/cuda/cuda_error_internal.h"

namespace paceline::cuda {

Reach reach_of(const void* address) {
  cudaPointerAttributes attributes{};
  if (cudaPointerGetAttributes(&attributes, address) != cudaSuccess) {
    cudaGetLastError();  // nobody else is to find it
    return {.device = nullptr, .host = true};
  }
  switch (attributes.type) {
    case cudaMemoryTypeDevice:
      return {.device = const_cast<void*>(address), .host = false};
    case cudaMemoryTypeHost:
    case cudaMemoryTypeManaged:
      return {.device = attributes.devicePointer, .host = true};
    default:
      return {.device = nullptr, .host = true};
  }
}

void* Operands::reachable(const void* address, std::size_t bytes, bool reads, bool writes) {
  const Reach reach = reach_of(address);
  host_ = host_ || reach.host;
  if (reach.device != nullptr) return reach.device;
  for (Staged& staged : staged_)
    if (staged.host == address && staged.bytes >= bytes) {  // the same vector again
      staged.written = staged.written || writes;
      return staged.device;
    }
  void* const device = scratch(bytes);
  if (reads)
    check(cudaMemcpyAsync(device, address, bytes, cudaMemcpyHostToDevice, cudaStreamPerThread),
          "copying an operand to the GPU");
  staged_.push_back({const_cast<void*>(address), device, bytes, writes});
  return device;
}

const float* Operands::read(ConstVector v) {
  twins_.refresh_f32(cudaStreamPerThread, v.data);
  return static_cast<const float*>(reachable(v.data, v.count * sizeof(float), true, false));
}
float* Operands::change(Vector v) {
  twins_.refresh_f32(cudaStreamPerThread, v.data);
  twins_.written(v.data);
  return static_cast<float*>(reachable(v.data, v.count * sizeof(float), true, true));
}
float* Operands::write(Vector v) {
  if (const Twin* const twin = twins_.find(v.data); twin != nullptr && twin->count > v.count)
    twins_.refresh_f32(cudaStreamPerThread, v.data);  // the rest of it stays
  twins_.written(v.data);
  return static_cast<float*>(reachable(v.data, v.count * sizeof(float), false, true));
}
const std::byte* Operands::read_bytes(const std::byte* bytes, std::size_t count) {
  return static_cast<const std::byte*>(reachable(bytes, count, true, false));
}
std::byte* Operands::write_bytes(std::byte* bytes, std::size_t count) {
  return static_cast<std::byte*>(reachable(bytes, count, false, true));
}

void Operands::finish() {
  for (const Staged& staged : staged_)
    if (staged.written)
      check(cudaMemcpyAsync(staged.host, staged.device, staged.bytes, cudaMemcpyDeviceToHost,
                            cudaStreamPerThread),
            "copying a result to the host");
  if (host_) check(cudaStreamSynchronize(cudaStreamPerThread), "the end of a vector operation");
}

}  // namespace paceline::cuda
