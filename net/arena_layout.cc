#include <unistd.h>

#include <bit>
#include <memory>

#include "arena_layout_internal.h"
#include "segment_name_internal.h"

namespace paceline {
namespace {

constexpr char kMagicText[] = {'P', 'A', 'C', 'E', 'L', 'I', 'N', 'E'};
constexpr auto kMagic = std::bit_cast<std::uint64_t>(kMagicText);
constexpr std::uint64_t kByteOrder = 0x0102030405060708;
constexpr std::uint64_t kLayoutVersion = 1;

// Far above any use, and their product stays below 2^64.
constexpr std::size_t kMostSlots = std::size_t{1} << 20;
constexpr std::size_t kMostPins = std::size_t{1} << 16;
constexpr std::size_t kMostBytes = std::size_t{1} << 40;
constexpr std::size_t kDefaultPins = 64;

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

std::size_t page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

std::size_t pins_of(const ArenaOptions& options) {
  return options.pins == 0 ? kDefaultPins : options.pins;
}

/// From the arena's start to the first buffer.
std::size_t buffers_offset(std::size_t slots, std::size_t pins) {
  return round_up(sizeof(ArenaHeader) + slots * ArenaHeader::slot_stride(pins), page_bytes());
}

}  // namespace

Result<std::size_t> layout_bytes(const ArenaOptions& options) {
  if (options.slots.size() > kMostSlots || options.pins > kMostPins)
    return fail(std::errc::invalid_argument, "arena {}: {} slots of {} pins: at most {} of {}",
                options.name, options.slots.size(), options.pins, kMostSlots, kMostPins);
  std::size_t bytes = buffers_offset(options.slots.size(), pins_of(options));
  for (const SlotShape& shape : options.slots) {
    if (shape.bytes > kMostBytes)
      return fail(std::errc::invalid_argument, "arena {}: a slot of {} bytes: at most {}",
                  options.name, shape.bytes, kMostBytes);
    bytes += kBuffers * round_up(shape.bytes, kCacheLine);
  }
  return round_up(bytes, page_bytes());
}

void write_layout(void* memory, const ArenaOptions& options) {
  auto* header = std::construct_at(static_cast<ArenaHeader*>(memory));
  header->byte_order = kByteOrder;
  header->layout_version = kLayoutVersion;
  header->layout_hash = options.layout_hash;
  header->bytes = layout_bytes(options).value();
  header->creator_pid = static_cast<std::uint64_t>(this_process().pid);
  header->creator_start_time = this_process().start_time;
  header->slots = options.slots.size();
  header->pins = pins_of(options);
  std::size_t buffers = buffers_offset(header->slots, header->pins);
  for (std::size_t i = 0; i < options.slots.size(); ++i) {
    // The pin words that follow are free as they are: zero.
    SlotWords* words = std::construct_at(&header->slot(i));
    words->bytes = options.slots[i].bytes;
    words->stride = round_up(words->bytes, kCacheLine);
    words->payload = buffers - static_cast<std::size_t>(reinterpret_cast<std::byte*>(words) -
                                                        static_cast<std::byte*>(memory));
    words->pins = header->pins;
    buffers += kBuffers * words->stride;
  }
  header->magic.store(kMagic);
}

Result<> check_layout(void* memory, std::size_t bytes, const std::string& segment,
                      std::uint64_t layout_hash) {
  auto* header = static_cast<ArenaHeader*>(memory);
  if (bytes < sizeof(ArenaHeader))
    return fail(std::errc::illegal_byte_sequence, "{} is truncated: {} bytes", segment, bytes);
  if (header->magic.load() != kMagic)
    return fail(std::errc::illegal_byte_sequence,
                "{} is no arena of paceline, or its creator died while making it", segment);
  if (header->byte_order != kByteOrder)
    return fail(std::errc::illegal_byte_sequence, "{} was written in another byte order", segment);
  if (header->layout_version != kLayoutVersion)
    return fail(std::errc::illegal_byte_sequence,
                "{} has layout version {}, this build reads {}: start both from one build", segment,
                header->layout_version, kLayoutVersion);
  if (header->layout_hash != layout_hash)
    return fail(std::errc::illegal_byte_sequence,
                "{} holds vectors of layout {:016x}, expected {:016x}: both sides need the same "
                "network and data",
                segment, header->layout_hash, layout_hash);
  const auto name = parse_segment_name(segment);
  if (!name || static_cast<std::uint64_t>(name->creator.pid) != header->creator_pid ||
      name->creator.start_time != header->creator_start_time)
    return fail(std::errc::illegal_byte_sequence,
                "{} was made by another process than its name says: pid {}, started at {}", segment,
                header->creator_pid, header->creator_start_time);
  if (header->bytes != bytes)
    return fail(std::errc::illegal_byte_sequence, "{} is truncated: {} bytes of {}", segment, bytes,
                header->bytes);

  const auto damaged = [&] {
    return fail(std::errc::illegal_byte_sequence, "{} is damaged: a slot reaches outside", segment);
  };
  if (header->slots > kMostSlots || header->pins > kMostPins ||
      buffers_offset(header->slots, header->pins) > bytes)
    return damaged();
  for (std::size_t i = 0; i < header->slots; ++i) {
    const SlotWords& words = header->slot(i);
    const std::size_t room =
        bytes - static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&words) -
                                         static_cast<const std::byte*>(memory));
    if (words.pins != header->pins || words.bytes > words.stride || words.stride > kMostBytes ||
        words.payload > room || kBuffers * words.stride > room - words.payload)
      return damaged();
  }
  return success();
}

}  // namespace paceline
