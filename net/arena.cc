#include "paceline/net/arena.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "arena_layout_internal.h"
#include "segment_name_internal.h"

namespace paceline {
namespace {

constexpr const char* kFolder = "/dev/shm";  // where glibc's shm_open() keeps segments

/// "3145728 bytes (3.0 MiB)"
std::string in_words(std::size_t bytes) {
  if (bytes >= std::size_t{1} << 30)
    return fmt::format("{} bytes ({:.1f} GiB)", bytes, static_cast<double>(bytes) / (1 << 30));
  return fmt::format("{} bytes ({:.1f} MiB)", bytes, static_cast<double>(bytes) / (1 << 20));
}

/// Memory that the machine can still give; the largest number when it does not say.
std::size_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  std::size_t kibibytes = 0;
  while (file >> key >> kibibytes && std::getline(file, unit))
    if (key == "MemAvailable:") return kibibytes * 1024;
  return SIZE_MAX;
}

/// Whether `bytes` more fit, before any of them is taken.
Result<> check_room(int segment, const std::string& name, std::size_t bytes) {
  struct statvfs room {};
  if (fstatvfs(segment, &room) != 0)
    return fail_errno(errno, "arena {}: cannot tell how much {} can hold", name, kFolder);
  const std::size_t all = room.f_blocks * room.f_frsize;  // 0: mounted without a limit
  const std::size_t available = room.f_bavail * room.f_frsize;
  if (all != 0 && bytes > available) {
    const std::size_t enough = ((all - available + bytes) >> 20) + 64;  // MiB, with others' share
    return fail(std::errc::no_space_on_device,
                "arena {} needs {}, {} has {} left: mount -o remount,size={}M {}, docker run "
                "--shm-size={}m, or run fewer workers",
                name, in_words(bytes), kFolder, in_words(available), enough, kFolder, enough);
  }
  if (const std::size_t memory = available_memory(); bytes > memory)
    return fail(std::errc::no_space_on_device,
                "arena {} needs {}, the machine has {} of memory left: run fewer workers", name,
                in_words(bytes), in_words(memory));
  return success();
}

/// Whether any part of the mapping at `memory` is of huge pages.
bool has_huge_pages(const void* memory) {
  std::ifstream file("/proc/self/smaps");
  const std::string start = fmt::format("{:x}-", reinterpret_cast<std::uintptr_t>(memory));
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(start)) inside = true;
    if (!inside || !line.starts_with("ShmemPmdMapped:")) continue;
    return line.find_first_of("123456789") != std::string::npos;
  }
  return false;
}

Result<> reserve(int segment, const std::string& name, std::size_t begin, std::size_t bytes) {
  int error = EINTR;
  while (error == EINTR)
    error = posix_fallocate(segment, static_cast<off_t>(begin), static_cast<off_t>(bytes));
  if (error != 0)
    return fail_errno(error, "arena {} cannot reserve {} in {}", name, in_words(bytes), kFolder);
  return success();
}

}  // namespace

/// The memory and, of a segment, the name: what Arena owns, at an address that moves do not change.
struct Arena::Mapping {
  std::string segment;
  void* memory = MAP_FAILED;
  std::size_t bytes = 0;
  int file = -1;         // kept open: the lock of a creator lives with it
  bool creator = false;  // has to remove the name
  bool huge_pages = false;
  /// Of a slot, in this process.
  struct Buffers {
    std::atomic<std::byte*> first{nullptr};  // null: not to be had here yet
    BufferMemory* memory = nullptr;          // of those elsewhere
    std::unique_ptr<BufferBlock> block;
  };
  std::vector<Buffers> buffers;

  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (memory != MAP_FAILED) munmap(memory, bytes);
    // A forked child that ends by exit() must not take its parent's segment along.
    if (creator && getpid() == this_process().pid) shm_unlink(segment.c_str());
    if (file >= 0) close(file);
  }

  ArenaHeader& header() const { return *static_cast<ArenaHeader*>(memory); }
  SlotWords& words(std::size_t index) const {
    PACELINE_CHECK(index < header().slots, "slot {} of {}", index, header().slots);
    return header().slot(index);
  }

  Result<> furnish(const ArenaOptions& options);
  Result<> furnish(BufferMemory* memory_elsewhere);
  Result<> allocate(std::size_t index);
  Result<> open(std::size_t index);

  /// Maps the segment behind `file`.
  Result<> map(std::size_t size, bool huge) {
    memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED)
      return fail_errno(errno, "arena {} cannot map {}", segment, in_words(size));
    bytes = size;
    if (huge) madvise(memory, bytes, MADV_HUGEPAGE);
    return success();
  }
  /// Puts the first pages in place where the kernel can (5.14).
  void populate(std::size_t first) { madvise(memory, first, MADV_POPULATE_WRITE); }
};

/// As the creator: lays everything out, and takes what lies elsewhere.
Result<> Arena::Mapping::furnish(const ArenaOptions& options) {
  write_layout(memory, options, file < 0 ? Interleaving::by_buffer : Interleaving::by_slot);
  buffers = std::vector<Buffers>(options.slots.size());
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    buffers[i].memory = options.slots[i].memory;
    if (options.slots[i].later) continue;
    if (words(i).elsewhere != 0) PACELINE_TRYV(allocate(i));
    PACELINE_TRYV(open(i));
  }
  complete_layout(memory);
  return success();
}

/// As anybody else: borrows it.
Result<> Arena::Mapping::furnish(BufferMemory* memory_elsewhere) {
  buffers = std::vector<Buffers>(header().slots);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    buffers[i].memory = memory_elsewhere;
    if (words(i).later == 0) PACELINE_TRYV(open(i));
  }
  return success();
}

/// Of buffers elsewhere, and tells others where they are.
Result<> Arena::Mapping::allocate(std::size_t index) {
  SlotWords& slot = words(index);
  Buffers& own = buffers[index];
  if (slot.bytes > 0) {
    PACELINE_TRY(own.block, own.memory->allocate(kBuffers * slot.stride));
    if (file >= 0) {  // not a local arena
      PACELINE_TRY(const BufferHandle handle, own.memory->share(*own.block));
      static_assert(sizeof handle.bytes == sizeof slot.handle);
      std::memcpy(slot.handle, handle.bytes.data(), kHandleBytes);
    }
  }
  slot.reserved.store(1);
  return success();
}

Result<> Arena::Mapping::open(std::size_t index) {
  SlotWords& slot = words(index);
  Buffers& own = buffers[index];
  if (own.first.load() != nullptr) return success();
  auto* first = reinterpret_cast<std::byte*>(&slot) + slot.payload;
  if (slot.elsewhere != 0 && slot.bytes > 0) {
    if (own.block == nullptr && own.memory == nullptr)
      return fail(std::errc::not_supported,
                  "{}: slot {} lies in a device's memory, which this process has not been told to "
                  "use: start both from the same options",
                  segment, index);
    if (own.block == nullptr) {
      BufferHandle handle;
      std::memcpy(handle.bytes.data(), slot.handle, kHandleBytes);
      auto block = own.memory->borrow(handle, kBuffers * slot.stride);
      if (!block)
        return Error{block.error().code,
                     fmt::format("{}: slot {} lies in memory that this process cannot borrow: {}",
                                 segment, index, block.error().message)};
      own.block = std::move(block).value();
    }
    first = own.block->data();
  }
  own.first.store(first);
  return success();
}

Arena::Arena(std::unique_ptr<Mapping> mapping) : mapping_(std::move(mapping)) {}
Arena::Arena(Arena&&) noexcept = default;
Arena& Arena::operator=(Arena&&) noexcept = default;
Arena::~Arena() = default;

Result<Arena> Arena::create(const ArenaOptions& options) {
  sweep();
  if (!is_plain_name(options.name))
    return fail(std::errc::invalid_argument,
                "arena name '{}': 1 to 64 letters, digits, '-' and '_'", options.name);
  PACELINE_TRY(const ArenaBytes size, layout_bytes(options));
  const std::size_t bytes = size.all;
  auto mapping = std::make_unique<Mapping>();
  mapping->segment = format_segment_name({geteuid(), this_process(), options.name});
  const std::string& segment = mapping->segment;
  mapping->file = shm_open(segment.c_str(), O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR);
  if (mapping->file < 0 && errno == EEXIST)
    return fail(std::errc::file_exists, "this process has an arena {} already: {}", options.name,
                segment);
  if (mapping->file < 0)
    return fail_errno(errno, "cannot make {} in {}: is it mounted?", segment, kFolder);
  mapping->creator = true;
  // Tells sweepers in other containers, who cannot see this pid, that the segment is in use.
  if (flock(mapping->file, LOCK_EX | LOCK_NB) != 0)
    return fail_errno(errno, "arena {} cannot lock {}", options.name, segment);
  PACELINE_TRYV(check_room(mapping->file, options.name, size.at_first));
  if (ftruncate(mapping->file, static_cast<off_t>(bytes)) != 0)
    return fail_errno(errno, "arena {} cannot grow to {}{}", options.name, in_words(bytes),
                      errno == EFBIG ? " (a limit on file sizes: ulimit -f unlimited)" : "");
  // Mapping first lets pages be huge; reserving what is not there yet has the last word.
  PACELINE_TRYV(mapping->map(bytes, options.huge_pages));
  mapping->populate(size.at_first);
  PACELINE_TRYV(paceline::reserve(mapping->file, options.name, 0, size.at_first));
  mapping->huge_pages = options.huge_pages && has_huge_pages(mapping->memory);
  PACELINE_TRYV(mapping->furnish(options));
  return Arena(std::move(mapping));
}

Result<Arena> Arena::attach(const std::string& segment, std::uint64_t layout_hash,
                            BufferMemory* buffers) {
  auto mapping = std::make_unique<Mapping>();
  mapping->segment = segment;
  mapping->file = shm_open(segment.c_str(), O_RDWR, 0);
  if (mapping->file < 0 && errno == ENOENT)
    return fail(std::errc::no_such_file_or_directory, "no segment {}: its creator has ended",
                segment);
  if (mapping->file < 0) return fail_errno(errno, "cannot attach to {}", segment);
  struct stat status {};
  if (fstat(mapping->file, &status) != 0) return fail_errno(errno, "cannot attach to {}", segment);
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (bytes < sizeof(ArenaHeader))
    return fail(std::errc::illegal_byte_sequence, "{} is truncated: {} bytes", segment, bytes);
  PACELINE_TRYV(mapping->map(bytes, true));
  PACELINE_TRYV(check_layout(mapping->memory, bytes, segment, layout_hash));
  PACELINE_TRYV(mapping->furnish(buffers));
  mapping->populate(mapping->header().bytes_at_first);
  mapping->huge_pages = has_huge_pages(mapping->memory);
  return Arena(std::move(mapping));
}

Result<Arena> Arena::local(const ArenaOptions& options) {
  PACELINE_TRY(const ArenaBytes size, layout_bytes(options));
  const std::size_t bytes = size.all;
  auto mapping = std::make_unique<Mapping>();
  mapping->memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping->memory == MAP_FAILED)
    return fail_errno(errno, "arena {} cannot map {}", options.name, in_words(bytes));
  mapping->bytes = bytes;
  madvise(mapping->memory, bytes, MADV_NOHUGEPAGE);  // touching one slot shall not cost 2 MiB
  PACELINE_TRYV(mapping->furnish(options));
  return Arena(std::move(mapping));
}

std::vector<std::string> Arena::sweep() {
  std::vector<std::string> removed;
  const auto close_folder = [](DIR* folder) { closedir(folder); };
  const std::unique_ptr<DIR, decltype(close_folder)> folder(opendir(kFolder), close_folder);
  if (folder == nullptr) return removed;
  while (const dirent* entry = readdir(folder.get())) {
    const auto name = parse_segment_name(entry->d_name);
    if (!name || name->user != geteuid() || is_running(name->creator)) continue;
    const std::string segment = format_segment_name(*name);
    const int file = shm_open(segment.c_str(), O_RDWR, 0);
    if (file < 0) continue;
    // Locked: its creator lives where we cannot see it, in another container.
    if (flock(file, LOCK_EX | LOCK_NB) == 0 && shm_unlink(segment.c_str()) == 0)
      removed.push_back(segment);
    close(file);
  }
  return removed;
}

std::optional<ProcessIdentity> Arena::creator(const std::string& segment) {
  const auto name = parse_segment_name(segment);
  if (!name) return std::nullopt;
  return name->creator;
}

const std::string& Arena::segment() const { return mapping_->segment; }
std::size_t Arena::bytes() const { return mapping_->bytes; }
bool Arena::huge_pages() const { return mapping_->huge_pages; }
std::size_t Arena::slots() const { return mapping_->header().slots; }

Slot Arena::slot(std::size_t index) const {
  return Slot(&mapping_->words(index), mapping_->buffers[index].first.load());
}

Result<> Arena::reserve(std::size_t index) {
  SlotWords& words = mapping_->words(index);
  if (words.reserved.load() != 0) return mapping_->open(index);
  if (words.elsewhere != 0) {
    PACELINE_CHECK(mapping_->creator || mapping_->file < 0, "{}, slot {}: not the creator",
                   segment(), index);
    PACELINE_TRYV(mapping_->allocate(index));
  } else if (mapping_->file >= 0) {
    const auto [begin, bytes] = mapping_->header().buffers(index);
    const std::string name = fmt::format("{}, slot {},", segment(), index);
    PACELINE_TRYV(check_room(mapping_->file, name, bytes));
    PACELINE_TRYV(paceline::reserve(mapping_->file, name, begin, bytes));
  }
  words.reserved.store(1);
  return mapping_->open(index);
}

bool Arena::is_reserved(std::size_t index) const {
  return mapping_->words(index).reserved.load() != 0;
}

Result<> Arena::open(std::size_t index) const {
  PACELINE_CHECK(is_reserved(index), "{}, slot {}: nobody has reserved it", segment(), index);
  return mapping_->open(index);
}

std::span<std::byte> Arena::memory_at_first() const {
  return {static_cast<std::byte*>(mapping_->memory), mapping_->header().bytes_at_first};
}

std::span<std::byte> Arena::memory_for_later(std::size_t index) const {
  const SlotWords& words = mapping_->words(index);
  if (words.elsewhere != 0 || words.later == 0) return {};
  const auto [begin, bytes] = mapping_->header().buffers(index);
  return {static_cast<std::byte*>(mapping_->memory) + begin,
          round_up(bytes, static_cast<std::size_t>(sysconf(_SC_PAGESIZE)))};
}

std::size_t Arena::mailboxes() const { return mapping_->header().mailboxes; }

Mailbox Arena::mailbox(std::size_t index) const {
  PACELINE_CHECK(index < mailboxes(), "mailbox {} of {}", index, mailboxes());
  return Mailbox(&mapping_->header().mailbox(index));
}

std::span<std::byte> Arena::board() const { return mapping_->header().board(); }

std::size_t Arena::clear_pins(const ProcessIdentity& process) {
  const std::uint64_t dead = encode_owner(process);
  std::size_t cleared = 0;
  for (std::size_t i = 0; i < slots(); ++i)
    for (Word& word : mapping_->header().slot(i).pin_words()) {
      std::uint64_t pin = word.load();
      if (owner_of(pin) == dead && word.compare_exchange_strong(pin, 0)) ++cleared;
    }
  return cleared;
}

std::size_t Arena::clear_claims(SenderId sender) {
  std::size_t cleared = 0;
  for (std::size_t i = 0; i < mailboxes(); ++i) cleared += mailbox(i).clear_claims(sender);
  return cleared;
}

}  // namespace paceline
