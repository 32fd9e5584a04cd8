#include <algorithm>
#include <utility>

#include "paceline/net/peers/road_internal.h"
#include "paceline/net/stream/asked_reads_internal.h"
#include "paceline/net/stream/frame_stream_internal.h"

namespace paceline {
namespace {

constexpr std::uint32_t kMostDamaged =
    3;  // a network that damages more is not repaired by patience

template <class... Args>
Error wrong(fmt::format_string<Args...> text, Args&&... args) {
  return fail(std::errc::protocol_error, "{}", fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace

void AskedReads::read(const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done) {
  if (reads_.size() < Fabric::kMostInFlight)
    return ask({from, std::move(loan), deadline, std::move(done)});
  { const Loan gone = std::move(loan); }  // FA-6
  done(too_much_under_way());
}

void AskedReads::ask(Read read) {
  const std::uint64_t number = ++last_read_;
  read.version = 0;
  read.received = 0;
  if (checksums_) read.hash.emplace();
  auto frame = make_frame<ReadRequest>();
  frame.read = number;
  frame.slot = read.from.slot;
  frame.checksum = checksums_ ? 1 : 0;
  frame.ticket = read.from.ticket;
  frame.bytes = read.loan.bytes().size();
  frame.within = milliseconds_until(read.deadline);
  reads_.emplace(number, std::move(read));
  stream_.send(frame);
}

/// As it is now: the announcement is worth nothing any more.
void AskedReads::again(Reads::iterator at) {
  Read read = std::move(at->second);
  reads_.erase(at);
  read.from = RemoteSlot::newest(read.from.slot);
  ++read.retries;
  ask(std::move(read));
}

void AskedReads::end(Reads::iterator at, const Error& error) {
  ReadDone done = std::move(at->second.done);
  reads_.erase(at);  // and with it the loan
  done(error);
}

Result<AskedReads::Reads::iterator> AskedReads::find(std::uint64_t read) {
  if (read > last_read_) return wrong("an answer to read {}, which was not asked for", read);
  return reads_.find(read);
}

Result<> AskedReads::on(const ReadBegin& frame) {
  PACELINE_TRY(const auto at, find(frame.read));
  if (at == reads_.end()) return success();
  Read& read = at->second;
  if (read.version != 0) return wrong("read {} begins twice", frame.read);
  if (frame.bytes != read.loan.bytes().size())
    return wrong("read {} begins with {} bytes instead of {}", frame.read, frame.bytes,
                 read.loan.bytes().size());
  read.version = frame.version;
  return success();
}

Result<> AskedReads::on(const Chunk& frame) {
  arriving_ = frame.read;
  PACELINE_TRY(const auto at, find(frame.read));
  if (at == reads_.end()) return success();
  const Read& read = at->second;
  if (read.version == 0) return wrong("a chunk of read {} before its beginning", frame.read);
  if (frame.offset != read.received || frame.bytes > read.loan.bytes().size() - read.received)
    return wrong("{} bytes at {} of read {}, of which {} of {} have come", frame.bytes,
                 frame.offset, frame.read, read.received, read.loan.bytes().size());
  return success();
}

std::span<std::byte> AskedReads::room(std::size_t left) {
  const auto at = reads_.find(arriving_);
  if (at == reads_.end()) return {};
  // on(Chunk) has seen that there is room for the whole of it.
  return at->second.loan.bytes().subspan(at->second.received, left);
}

void AskedReads::on_payload(std::span<const std::byte> bytes) {
  Read& read = reads_.at(arriving_);
  read.received += bytes.size();
  read.bytes += bytes.size();
  if (read.hash) read.hash->add(bytes);
}

Result<> AskedReads::on(const ReadEnd& frame) {
  PACELINE_TRY(const auto at, find(frame.read));
  if (at == reads_.end()) return success();
  Read& read = at->second;
  if (read.version == 0 || read.received != read.loan.bytes().size())
    return wrong("read {} ends after {} bytes of {}", frame.read, read.received,
                 read.loan.bytes().size());
  auto acknowledge = make_frame<Acknowledge>();
  acknowledge.read = frame.read;
  acknowledge.ticket = read.from.ticket;
  stream_.send(acknowledge);
  if (read.version != frame.version) {
    again(at);
  } else if (read.hash && read.hash->value() != frame.checksum) {
    if (++read.damaged < kMostDamaged)
      again(at);
    else
      end(at, fail(std::errc::illegal_byte_sequence, "slot {} came damaged {} times",
                   read.from.slot, kMostDamaged));
  } else {
    Read done = std::move(read);
    reads_.erase(at);
    done.done(Arrival{std::move(done.loan), done.version, done.bytes, done.retries});
  }
  return success();
}

Result<> AskedReads::on(const ReadRefusal& frame) {
  PACELINE_TRY(const auto at, find(frame.read));
  if (at == reads_.end()) return success();
  if (frame.reason == ReadRefusalReason::expired)
    again(at);
  else
    end(at, refused_read(frame, at->second.from.slot, at->second.loan.bytes().size()));
  return success();
}

std::optional<Deadline> AskedReads::expire(Deadline now, const std::string& peer) {
  for (auto at = reads_.begin(); at != reads_.end();) {
    const auto next = std::next(at);
    if (at->second.deadline <= now) {
      auto acknowledge = make_frame<Acknowledge>();
      acknowledge.read = at->first;
      acknowledge.ticket = at->second.from.ticket;
      stream_.send(acknowledge);
      end(at, fail(std::errc::timed_out, "slot {} of {} was not read in time", at->second.from.slot,
                   peer));
    }
    at = next;
  }
  if (reads_.empty()) return std::nullopt;
  return std::ranges::min_element(reads_, {}, [](const auto& each) { return each.second.deadline; })
      ->second.deadline;
}

void AskedReads::end_all(const Error& error) {
  while (!reads_.empty()) end(reads_.begin(), error);
}

}  // namespace paceline
