#include "paceline/net/stream/served_reads_internal.h"

#include <algorithm>
#include <utility>

#include "paceline/net/peers/granted_pin_internal.h"

namespace paceline {
namespace {

constexpr std::size_t kCopiedBytes =
    4096;  // up to which a copy costs less than another system call

Chunk chunk_of(std::uint64_t read, std::size_t offset, std::span<const std::byte> bytes) {
  auto frame = make_frame<Chunk>();
  frame.read = read;
  frame.offset = offset;
  frame.bytes = static_cast<std::uint32_t>(bytes.size());
  return frame;
}

}  // namespace

Result<> ServedReads::on(const ReadRequest& frame) {
  if (frame.read <= last_read_)
    return fail(std::errc::protocol_error, "read {} after read {}", frame.read, last_read_);
  if (reads_.size() >= Fabric::kMostInFlight)
    return fail(std::errc::protocol_error, "more than {} reads at a time", Fabric::kMostInFlight);
  last_read_ = frame.read;
  auto granted = grant_pin(arena_, announcements_, frame);
  if (const auto* refusal = std::get_if<ReadRefusal>(&granted)) {
    stream_.send(*refusal);
    return success();
  }
  auto& [pin, deadline] = std::get<GrantedPin>(granted);
  const std::uint64_t version = pin.version();
  const auto [at, added] =
      reads_.emplace(frame.read, Read{frame.slot, version, std::move(pin), deadline});
  if (frame.checksum != 0) at->second.hash.emplace();
  auto begin = make_frame<ReadBegin>();
  begin.read = frame.read;
  begin.version = version;
  begin.bytes = frame.bytes;
  stream_.send(begin);
  if (frame.bytes <= kCopiedBytes) {
    serve_at_once(frame.read, at->second);
  } else {
    turns_.push_back(frame.read);
    stream_.chunks_ready();
  }
  return success();
}

void ServedReads::serve_at_once(std::uint64_t number, Read& read) {
  const auto bytes = read.pin.bytes();
  if (read.hash) read.hash->add(bytes);
  if (!bytes.empty()) stream_.send(chunk_of(number, 0, bytes), bytes);
  read.sent = bytes.size();
  say_end(number, read);
}

/// The header behind the payload is read again: it tells whether the pin has held.
void ServedReads::say_end(std::uint64_t number, const Read& read) {
  auto end = make_frame<ReadEnd>();
  end.read = number;
  end.version = read.pin.version();
  end.checksum = read.hash ? read.hash->value() : 0;
  stream_.send(end);
}

Result<> ServedReads::on(const Acknowledge& frame) {
  if (frame.ticket != 0) announcements_.release(frame.ticket);  // when the read never took it
  if (const auto at = reads_.find(frame.read); at != reads_.end()) drop(at);
  return success();
}

ServedReads::Reads::iterator ServedReads::drop(Reads::iterator at) {
  if (at->first == on_its_way_) stream_.drop_chunk();
  return reads_.erase(at);
}

std::optional<FrameStream::OutgoingChunk> ServedReads::next_chunk() {
  if (const auto gone = reads_.find(std::exchange(on_its_way_, 0)); gone != reads_.end())
    if (const Read& read = gone->second; read.sent == read.pin.bytes().size())
      say_end(gone->first, read);
  while (!turns_.empty()) {
    const std::uint64_t number = turns_.front();
    turns_.pop_front();
    const auto at = reads_.find(number);
    if (at == reads_.end()) continue;
    Read& read = at->second;
    const auto left = read.pin.bytes().subspan(read.sent);
    const auto bytes = left.first(std::min<std::size_t>(left.size(), kMostChunkBytes));
    const Chunk frame = chunk_of(number, read.sent, bytes);
    if (read.hash) read.hash->add(bytes);
    read.sent += bytes.size();
    on_its_way_ = number;
    if (bytes.size() < left.size()) turns_.push_back(number);
    return FrameStream::OutgoingChunk{frame, bytes};
  }
  return std::nullopt;
}

std::optional<Deadline> ServedReads::expire(Deadline now) {
  std::optional<Deadline> first;
  for (auto at = reads_.begin(); at != reads_.end();) {
    const Read& read = at->second;
    if (read.deadline > now) {
      if (!first || read.deadline < *first) first = read.deadline;
      ++at;
      continue;
    }
    // To a read whose end was said this is one word too many: it is over there, and nobody hears it.
    auto frame = make_frame<ReadRefusal>();
    frame.read = at->first;
    frame.reason = ReadRefusalReason::expired;
    stream_.send(frame);
    at = drop(at);
  }
  return first;
}

}  // namespace paceline
