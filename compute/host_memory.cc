#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "paceline/compute/host_memory_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kHugePage = 2 << 20;

struct Free {
  void operator()(void* data) const { std::free(data); }
};

class HostMemory final : public DeviceMemory {
 public:
  HostMemory(std::unique_ptr<void, Free> data, std::size_t bytes)
      : data_(std::move(data)), bytes_(bytes) {}
  void* data() override { return data_.get(); }
  std::size_t bytes() const override { return bytes_; }

 private:
  std::unique_ptr<void, Free> data_;
  std::size_t bytes_;
};

}  // namespace

Result<std::unique_ptr<DeviceMemory>> allocate_host_memory(std::size_t bytes) {
  // Large blocks on whole huge pages, where the system has them to give: fewer address lookups.
  const std::size_t alignment = bytes >= kHugePage ? kHugePage : kCacheLine;
  const std::size_t rounded = (bytes / alignment + 1) * alignment;
  std::unique_ptr<void, Free> data(rounded > bytes ? std::aligned_alloc(alignment, rounded)
                                                   : nullptr);
  if (!data)
    return fail(std::errc::not_enough_memory,
                "cannot allocate {} bytes of memory: use a smaller "
                "--batch or fewer workers",
                bytes);
  if (alignment == kHugePage) madvise(data.get(), rounded, MADV_HUGEPAGE);  // a wish: may fail
  std::memset(data.get(), 0, rounded);
  return std::make_unique<HostMemory>(std::move(data), bytes);
}

}  // namespace paceline
