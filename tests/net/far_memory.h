// Memory beside the arena for the buffers of slots, as an accelerator's is: a segment of its own for
// each block, at another address in each process that borrows it. Nothing is left of it when its
// processes have ended.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "paceline/net/buffer_memory.h"

namespace paceline {

class FarMemory final : public BufferMemory {
 public:
  Result<std::unique_ptr<BufferBlock>> allocate(std::size_t bytes) override {
    if (bytes > most) return fail(std::errc::not_enough_memory, "no room for {} bytes", bytes);
    const int file = memfd_create("far", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0)
      return fail_errno(errno, "no segment of {} bytes", bytes);
    ++allocated;
    return map(file, bytes);
  }
  Result<BufferHandle> share(BufferBlock& block) override {
    const Place place{getpid(), static_cast<Block&>(block).file};
    BufferHandle handle;
    std::memcpy(handle.bytes.data(), &place, sizeof place);
    return handle;
  }
  Result<std::unique_ptr<BufferBlock>> borrow(const BufferHandle& handle,
                                              std::size_t bytes) override {
    Place place{};
    std::memcpy(&place, handle.bytes.data(), sizeof place);
    const std::string path = fmt::format("/proc/{}/fd/{}", place.pid, place.file);
    const int file = refuses ? -1 : open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (file < 0) return fail(std::errc::permission_denied, "nothing far at {}", path);
    ++borrowed;
    return map(file, bytes);
  }

  std::size_t most = std::size_t{1} << 40;  // bytes of a block
  bool refuses = false;                     // to borrow
  int allocated = 0, borrowed = 0;          // blocks

 private:
  struct Place {
    pid_t pid;
    int file;
  };
  struct Block final : BufferBlock {
    Block(int f, void* a, std::size_t n) : file(f), address(a), bytes(n) {}
    ~Block() override {
      munmap(address, bytes);
      close(file);
    }
    std::byte* data() override { return static_cast<std::byte*>(address); }
    const int file;
    void* const address;
    const std::size_t bytes;
  };
  static Result<std::unique_ptr<BufferBlock>> map(int file, std::size_t bytes) {
    void* address = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (address == MAP_FAILED) return fail_errno(errno, "cannot map {} bytes", bytes);
    return std::unique_ptr<BufferBlock>(std::make_unique<Block>(file, address, bytes));
  }
};

}  // namespace paceline
