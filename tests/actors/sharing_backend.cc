// A backend's shared object whose device is the CPU's, but with memory of its own that the host cannot
// read, as an accelerator's: at its addresses nothing is mapped, and only the device finds the bytes
// (a copy by the host ends the process). Every allocation is a segment that other processes of the
// machine can borrow, and host memory that is not mapped with map_host() may only be copied or averaged.
// SHARING_REFUSES="map", "borrow" or "allocate" is what fails.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "actors/forwarding_math.h"
#include "paceline/compute/device.h"

namespace paceline {
namespace {

bool refuses(std::string_view what) {
  const char* refused = std::getenv("SHARING_REFUSES");  // NOLINT: set before any thread
  return refused != nullptr && what == refused;
}

/// Addresses without memory: an allocation has those from `base` on and is mapped `kSpace` further on.
class AddressSpace {
 public:
  static constexpr std::size_t kSpace = std::size_t{1} << 36, kPage = std::size_t{2} << 20;

  AddressSpace() {
    void* both =
        mmap(nullptr, 2 * kSpace, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    PACELINE_CHECK(both != MAP_FAILED, "no address space");
    base_ = static_cast<std::byte*>(both);
  }
  ~AddressSpace() { munmap(base_, 2 * kSpace); }
  AddressSpace(const AddressSpace&) = delete;
  AddressSpace& operator=(const AddressSpace&) = delete;

  /// @return the device's address
  Result<std::byte*> map(int file, std::size_t bytes) {
    const std::size_t at = used_.fetch_add((bytes / kPage + 1) * kPage);
    PACELINE_CHECK(at + bytes < kSpace, "a test that allocates {} bytes", at);
    void* mapped =
        mmap(base_ + kSpace + at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
    if (mapped == MAP_FAILED) return fail_errno(errno, "cannot map {} bytes", bytes);
    return base_ + at;
  }
  void unmap(std::byte* address, std::size_t bytes) {
    mmap(address + kSpace, bytes, PROT_NONE,
         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  }
  bool has(const void* data) const { return data >= base_ && data < base_ + kSpace; }
  /// Where the bytes of a device's address are; of a host's, there.
  void* find(void* data) const { return has(data) ? static_cast<std::byte*>(data) + kSpace : data; }

 private:
  std::byte* base_ = nullptr;
  std::atomic<std::size_t> used_{0};
};

/// One for all devices of a process: what one has allocated another one reads.
std::shared_ptr<AddressSpace> address_space() {
  static const auto space = std::make_shared<AddressSpace>();
  return space;
}

class SegmentMemory final : public DeviceMemory {
 public:
  SegmentMemory(std::shared_ptr<AddressSpace> space, int file, std::byte* address,
                std::size_t bytes)
      : space_(std::move(space)), file_(file), address_(address), bytes_(bytes) {}
  ~SegmentMemory() override {
    space_->unmap(address_, bytes_);
    close(file_);
  }
  void* data() override { return address_; }
  std::size_t bytes() const override { return bytes_; }
  int file() const { return file_; }

 private:
  const std::shared_ptr<AddressSpace> space_;
  const int file_;
  std::byte* const address_;
  const std::size_t bytes_;
};

/// Host memory that the device may compute on.
class MappedHost {
 public:
  void add(std::span<std::byte> memory) {
    const std::lock_guard lock(mutex_);
    PACELINE_CHECK(ends_.emplace(memory.data(), memory.data() + memory.size()).second,
                   "memory that is mapped twice");
  }
  void remove(std::span<std::byte> memory) {
    const std::lock_guard lock(mutex_);
    PACELINE_CHECK(ends_.erase(memory.data()) == 1, "memory that was never mapped");
  }
  bool has(const std::byte* data) const {
    const std::lock_guard lock(mutex_);
    const auto after = ends_.upper_bound(data);
    return after != ends_.begin() && data < std::prev(after)->second;
  }
  bool empty() const {
    const std::lock_guard lock(mutex_);
    return ends_.empty();
  }

 private:
  mutable std::mutex mutex_;
  std::map<const std::byte*, const std::byte*> ends_;
};

class SharingMath final : public ForwardingMath {
 public:
  SharingMath(const VectorMath& math, std::shared_ptr<AddressSpace> space, const MappedHost& mapped)
      : ForwardingMath(math), math_(math), space_(std::move(space)), mapped_(mapped) {}
  void copy(Vector y, ConstVector x) const override {
    math_.copy({space_->find(y.data), y.count},
               {space_->find(const_cast<void*>(x.data)), x.count});  // NOLINT: nobody writes to it
  }
  void mean(Vector y, std::span<const ConstVector> xs) const override {
    std::vector<ConstVector> found;
    for (const ConstVector x : xs)
      found.emplace_back(space_->find(const_cast<void*>(x.data)), x.count);  // NOLINT: as above
    math_.mean({space_->find(y.data), y.count}, found);
  }
  void encode(std::span<std::byte> code, ConstVector v, CodeNorm norm, Rng& rng) const override {
    at(code.data());
    ForwardingMath::encode(code, v, norm, rng);
  }

 protected:
  void* at(void* data) const override {
    PACELINE_CHECK(
        data == nullptr || space_->has(data) || mapped_.has(static_cast<std::byte*>(data)),
        "the device computes on memory that it cannot reach");
    return space_->find(data);
  }

 private:
  const VectorMath& math_;
  const std::shared_ptr<AddressSpace> space_;
  const MappedHost& mapped_;
};

class SharingExecutable final : public Executable {
 public:
  SharingExecutable(std::unique_ptr<Executable> real, std::shared_ptr<AddressSpace> space)
      : real_(std::move(real)), space_(std::move(space)) {}
  double train_step(ConstVector x, Vector buffers, Vector g, const Batch& batch,
                    std::uint64_t seed) override {
    return real_->train_step(at(x), at(buffers), at(g), batch, seed);
  }
  Evaluation evaluate(ConstVector x, ConstVector buffers, const Batch& batch) override {
    return real_->evaluate(at(x), at(buffers), batch);
  }
  void estimate_buffers(ConstVector x, Vector buffers, const Batch& batch, double share) override {
    real_->estimate_buffers(at(x), at(buffers), batch, share);
  }
  std::span<const float> logits() override { return real_->logits(); }
  std::size_t activation_bytes() const override { return real_->activation_bytes(); }

 private:
  Vector at(Vector v) const {
    PACELINE_CHECK(v.count == 0 || space_->has(v.data), "a vector that is not the device's");
    return {space_->find(v.data), v.count};
  }
  ConstVector at(ConstVector v) const {
    return at(Vector{const_cast<void*>(v.data), v.count});  // NOLINT: nobody writes to it
  }
  const std::unique_ptr<Executable> real_;
  const std::shared_ptr<AddressSpace> space_;
};

class SharingDevice final : public Device {
 public:
  explicit SharingDevice(std::unique_ptr<Device> real) : real_(std::move(real)) {}
  ~SharingDevice() override { PACELINE_CHECK(mapped_.empty(), "memory that stays mapped"); }
  std::string description() const override { return "shares memory: " + real_->description(); }
  const VectorMath& math() const override { return math_; }
  Result<std::unique_ptr<DeviceMemory>> allocate(std::size_t bytes) override {
    if (refuses("allocate")) return fail(std::errc::not_enough_memory, "the device is full");
    const int file = memfd_create("device", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0)
      return fail_errno(errno, "no segment of {} bytes", bytes);
    return map(file, bytes);
  }
  Result<std::unique_ptr<Executable>> compile(const Program& program,
                                              const CompileOptions& options) override {
    PACELINE_TRY(auto real, real_->compile(program, options));
    return std::unique_ptr<Executable>(
        std::make_unique<SharingExecutable>(std::move(real), space_));
  }
  Result<> map_host(std::span<std::byte> memory) override {
    if (refuses("map")) return fail(std::errc::not_enough_memory, "the device maps nothing");
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    PACELINE_CHECK(
        reinterpret_cast<std::uintptr_t>(memory.data()) % page == 0 && memory.size() % page == 0,
        "memory that is not of whole pages");
    mapped_.add(memory);
    return success();
  }
  void unmap_host(std::span<std::byte> memory) override { mapped_.remove(memory); }
  bool shares_memory() const override { return true; }
  Result<SharedMemoryHandle> share(DeviceMemory& memory) override {
    const Place place{getpid(), static_cast<SegmentMemory&>(memory).file()};
    SharedMemoryHandle handle;
    std::memcpy(handle.bytes.data(), &place, sizeof place);
    return handle;
  }
  Result<std::unique_ptr<DeviceMemory>> borrow(const SharedMemoryHandle& handle,
                                               std::size_t bytes) override {
    if (refuses("borrow")) return fail(std::errc::not_supported, "the device borrows nothing");
    Place place{};
    std::memcpy(&place, handle.bytes.data(), sizeof place);
    if (place.pid == getpid()) return fail(std::errc::invalid_argument, "it is this process's own");
    const std::string path = fmt::format("/proc/{}/fd/{}", place.pid, place.file);
    const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) return fail_errno(errno, "cannot borrow {}", path);
    return map(file, bytes);
  }

 private:
  struct Place {
    pid_t pid;
    int file;
  };
  Result<std::unique_ptr<DeviceMemory>> map(int file, std::size_t bytes) {
    PACELINE_TRY(std::byte* const address, space_->map(file, bytes));
    return std::unique_ptr<DeviceMemory>(
        std::make_unique<SegmentMemory>(space_, file, address, bytes));
  }
  const std::unique_ptr<Device> real_;
  const std::shared_ptr<AddressSpace> space_ = address_space();
  MappedHost mapped_;
  const SharingMath math_{real_->math(), space_, mapped_};
};

}  // namespace
}  // namespace paceline

extern "C" paceline::Device* paceline_open_device(const paceline::DeviceOptions* options,
                                                  std::string* error) {
  auto device = paceline::open_device("cpu", *options);
  if (device) return new paceline::SharingDevice(std::move(device).value());  // open_device()'s
  *error = device.error().message;
  return nullptr;
}
