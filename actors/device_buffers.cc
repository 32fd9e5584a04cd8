#include "paceline/actors/device_buffers.h"

#include <exception>
#include <functional>
#include <thread>
#include <utility>

namespace paceline {
namespace {

class Block final : public BufferBlock {
 public:
  explicit Block(std::unique_ptr<DeviceMemory> memory) : memory_(std::move(memory)) {}
  std::byte* data() override { return static_cast<std::byte*>(memory_->data()); }
  DeviceMemory& memory() { return *memory_; }

 private:
  const std::unique_ptr<DeviceMemory> memory_;
};

/// On a thread of its own, which is the worker's as far as the device knows (DB-1).
Result<> on_behalf_of(Device& device, Rank worker, const std::function<Result<>()>& work) {
  Result<> done = success();
  std::thread([&] {
    try {
      device.use_for(worker);
      done = work();
    } catch (const std::exception& error) {
      done = fail(std::errc::io_error, "worker {}'s accelerator: {}", worker, error.what());
    }
  }).join();
  return done;
}

}  // namespace

Result<std::unique_ptr<BufferBlock>> DeviceBuffers::allocate(std::size_t bytes) {
  std::unique_ptr<DeviceMemory> memory;
  PACELINE_TRYV(on_behalf_of(device_, near_, [&]() -> Result<> {
    auto allocated = device_.allocate(bytes);
    if (!allocated)
      return Error{allocated.error().code,
                   fmt::format("no memory of the device for what workers publish: {}: give "
                               "--slot-memory host, or fewer workers",
                               allocated.error().message)};
    memory = std::move(allocated).value();
    return success();
  }));
  return std::unique_ptr<BufferBlock>(std::make_unique<Block>(std::move(memory)));
}

Result<BufferHandle> DeviceBuffers::share(BufferBlock& block) {
  BufferHandle handle;
  PACELINE_TRYV(on_behalf_of(device_, near_, [&]() -> Result<> {
    PACELINE_TRY(const SharedMemoryHandle shared,
                 device_.share(static_cast<Block&>(block).memory()));
    handle.bytes = shared.bytes;
    return success();
  }));
  return handle;
}

Result<std::unique_ptr<BufferBlock>> DeviceBuffers::borrow(const BufferHandle& handle,
                                                           std::size_t bytes) {
  PACELINE_TRY(auto memory, device_.borrow(SharedMemoryHandle{handle.bytes}, bytes));
  return std::unique_ptr<BufferBlock>(std::make_unique<Block>(std::move(memory)));
}

}  // namespace paceline
