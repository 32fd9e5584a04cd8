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
constexpr std::uint64_t kLayoutVersion = 4;

// Far above any use, and their products and sums stay below 2^64.
constexpr std::size_t kMostSlots = std::size_t{1} << 20;
constexpr std::size_t kMostPins = std::size_t{1} << 16;
constexpr std::size_t kMostBytes = std::size_t{1} << 40;  // of a buffer, of the board
constexpr std::size_t kMostMailboxes = std::size_t{1} << 16;
constexpr std::size_t kMostLetters = std::size_t{1} << 20;
constexpr std::size_t kDefaultPins = 64;

std::size_t page_bytes() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

std::size_t pins_of(const ArenaOptions& options) {
  return options.pins == 0 ? kDefaultPins : options.pins;
}

/// The counts, from which a header tells where everything lies.
void count(const ArenaOptions& options, ArenaHeader& header) {
  header.slots = options.slots.size();
  header.pins = pins_of(options);
  header.mailboxes = options.mailboxes.size();
  header.board_bytes = options.board_bytes;
}

bool is_capacity(std::uint64_t letters) {
  return std::has_single_bit(letters) && letters >= 2 && letters <= kMostLetters;
}

}  // namespace

Result<ArenaBytes> layout_bytes(const ArenaOptions& options) {
  if (options.slots.size() > kMostSlots || options.pins > kMostPins)
    return fail(std::errc::invalid_argument, "arena {}: {} slots of {} pins: at most {} of {}",
                options.name, options.slots.size(), options.pins, kMostSlots, kMostPins);
  if (options.mailboxes.size() > kMostMailboxes)
    return fail(std::errc::invalid_argument, "arena {}: {} mailboxes: at most {}", options.name,
                options.mailboxes.size(), kMostMailboxes);
  if (options.board_bytes > kMostBytes)
    return fail(std::errc::invalid_argument, "arena {}: a board of {} bytes: at most {}",
                options.name, options.board_bytes, kMostBytes);
  ArenaHeader header;
  count(options, header);
  std::size_t bytes = header.board_end();
  for (const MailboxShape& shape : options.mailboxes) {
    if (!is_capacity(shape.letters))
      return fail(std::errc::invalid_argument,
                  "arena {}: a mailbox of {} letters: a power of two, from 2 to {}", options.name,
                  shape.letters, kMostLetters);
    bytes += shape.letters * sizeof(MailboxPlace);
  }
  bytes = round_up(bytes, page_bytes());
  std::size_t later = 0;
  for (const SlotShape& shape : options.slots) {
    if (shape.bytes > kMostBytes)
      return fail(std::errc::invalid_argument, "arena {}: a slot of {} bytes: at most {}",
                  options.name, shape.bytes, kMostBytes);
    if (shape.memory != nullptr && options.checksums)
      return fail(std::errc::invalid_argument,
                  "arena {}: checksums are of buffers that lie in the arena, not elsewhere",
                  options.name);
    if (shape.memory != nullptr) continue;
    const std::size_t buffers = kBuffers * round_up(shape.bytes, kCacheLine);
    if (shape.later)
      later += round_up(buffers, page_bytes());
    else
      bytes += buffers;
  }
  bytes = round_up(bytes, page_bytes());
  return ArenaBytes{bytes + later, bytes};
}

void write_layout(void* memory, const ArenaOptions& options, Interleaving interleaving) {
  auto* header = std::construct_at(static_cast<ArenaHeader*>(memory));
  header->byte_order = kByteOrder;
  header->layout_version = kLayoutVersion;
  header->layout_hash = options.layout_hash;
  const ArenaBytes size = layout_bytes(options).value();
  header->bytes = size.all;
  header->bytes_at_first = size.at_first;
  header->creator_pid = static_cast<std::uint64_t>(this_process().pid);
  header->creator_start_time = this_process().start_time;
  count(options, *header);
  // What follows of mailboxes and pin words, and the board, is right as it is: zero.
  const auto from = [&](const void* head, std::size_t offset) {
    return offset - static_cast<std::size_t>(static_cast<const std::byte*>(head) -
                                             static_cast<const std::byte*>(memory));
  };
  std::size_t end = header->board_end();
  for (std::size_t i = 0; i < options.mailboxes.size(); ++i) {
    MailboxWords* words = std::construct_at(&header->mailbox(i));
    words->letters = options.mailboxes[i].letters;
    words->places = from(words, end);
    end += words->letters * sizeof(MailboxPlace);
  }
  end = round_up(end, page_bytes());
  std::size_t plane = 0;  // one buffer of each slot
  for (const SlotShape& shape : options.slots)
    if (!shape.later && shape.memory == nullptr) plane += round_up(shape.bytes, kCacheLine);
  std::size_t later = size.at_first;
  for (std::size_t i = 0; i < options.slots.size(); ++i) {
    SlotWords* words = std::construct_at(&header->slot(i));
    std::size_t& at = options.slots[i].later ? later : end;
    words->bytes = options.slots[i].bytes;
    const std::size_t buffer = round_up(words->bytes, kCacheLine);
    const bool in_planes = interleaving == Interleaving::by_buffer && !options.slots[i].later &&
                           options.slots[i].memory == nullptr;
    words->stride = in_planes ? plane : buffer;
    words->pins = header->pins;
    words->checksums = options.checksums ? 1 : 0;
    words->later = options.slots[i].later ? 1 : 0;
    words->elsewhere = options.slots[i].memory != nullptr ? 1 : 0;
    if (words->elsewhere != 0) continue;
    words->reserved.store(1 - words->later);
    words->payload = from(words, at);
    at += in_planes ? buffer : kBuffers * buffer;
    if (options.slots[i].later) at = round_up(at, page_bytes());
  }
}

void complete_layout(void* memory) { static_cast<ArenaHeader*>(memory)->magic.store(kMagic); }

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

  const auto damaged = [&](const char* what) {
    return fail(std::errc::illegal_byte_sequence, "{} is damaged: {} reaches outside", segment,
                what);
  };
  /// From one of the arena's heads to its end.
  const auto room = [&](const void* head) {
    return bytes - static_cast<std::size_t>(static_cast<const std::byte*>(head) -
                                            static_cast<const std::byte*>(memory));
  };
  if (header->bytes_at_first > bytes) return damaged("what was reserved");
  if (header->slots > kMostSlots || header->pins > kMostPins || header->mailboxes_offset() > bytes)
    return damaged("a slot");
  if (header->mailboxes > kMostMailboxes || header->board_offset() > bytes)
    return damaged("a mailbox");
  if (header->board_bytes > kMostBytes || header->board_end() > bytes) return damaged("the board");
  for (std::size_t i = 0; i < header->slots; ++i) {
    const SlotWords& words = header->slot(i);
    if (words.pins != header->pins || words.bytes > words.stride || words.stride > kMostBytes)
      return damaged("a slot");
    if (words.elsewhere == 0 &&
        (words.payload > room(&words) || kBuffers * words.stride > room(&words) - words.payload))
      return damaged("a slot");
  }
  for (std::size_t i = 0; i < header->mailboxes; ++i) {
    const MailboxWords& words = header->mailbox(i);
    if (!is_capacity(words.letters) || words.places % kCacheLine != 0 ||
        words.places > room(&words) ||
        words.letters * sizeof(MailboxPlace) > room(&words) - words.places)
      return damaged("a mailbox");
  }
  return success();
}

}  // namespace paceline
