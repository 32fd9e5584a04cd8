#include <algorithm>
#include <utility>

#include "paceline/net/stream/frame_stream_internal.h"
#include "paceline/net/stream/requests_internal.h"

namespace paceline {
namespace {

constexpr std::uint32_t kMostDamaged =
    3;  // a network that damages more is not repaired by patience

Error too_much() {
  return fail(std::errc::resource_unavailable_try_again, "{} are under way to this peer already",
              Fabric::kMostInFlight);
}

template <class... Args>
Error wrong(fmt::format_string<Args...> text, Args&&... args) {
  return fail(std::errc::protocol_error, "{}", fmt::format(text, std::forward<Args>(args)...));
}

std::uint64_t milliseconds_until(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - FabricClock::now());
  return std::min<std::uint64_t>(
      kMostMilliseconds, static_cast<std::uint64_t>(std::max<std::int64_t>(0, left.count())));
}

}  // namespace

// ---- Reads ----

void Requests::read(const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done) {
  if (reads_.size() < Fabric::kMostInFlight)
    return ask({from, std::move(loan), deadline, std::move(done)});
  { const Loan gone = std::move(loan); }  // FA-6
  done(too_much());
}

void Requests::ask(Read read) {
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
void Requests::again(Reads::iterator at) {
  Read read = std::move(at->second);
  reads_.erase(at);
  read.from = RemoteSlot::newest(read.from.slot);
  ++read.retries;
  ask(std::move(read));
}

void Requests::end(Reads::iterator at, const Error& error) {
  ReadDone done = std::move(at->second.done);
  reads_.erase(at);  // and with it the loan
  done(error);
}

Result<Requests::Reads::iterator> Requests::find(std::uint64_t read) {
  if (read > last_read_) return wrong("an answer to read {}, which was not asked for", read);
  return reads_.find(read);
}

Result<> Requests::on(const ReadBegin& frame) {
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

Result<> Requests::on(const Chunk& frame) {
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

std::span<std::byte> Requests::room(std::size_t left) {
  const auto at = reads_.find(arriving_);
  if (at == reads_.end()) return {};
  // on(Chunk) has seen that there is room for the whole of it.
  return at->second.loan.bytes().subspan(at->second.received, left);
}

void Requests::on_payload(std::span<const std::byte> bytes) {
  Read& read = reads_.at(arriving_);
  read.received += bytes.size();
  read.bytes += bytes.size();
  if (read.hash) read.hash->add(bytes);
}

Result<> Requests::on(const ReadEnd& frame) {
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

Result<> Requests::on(const ReadRefusal& frame) {
  PACELINE_TRY(const auto at, find(frame.read));
  if (at == reads_.end()) return success();
  const std::uint32_t slot = at->second.from.slot;
  switch (frame.reason) {
    case ReadRefusalReason::expired:
      again(at);
      break;
    case ReadRefusalReason::no_such_slot:
      end(at, fail(std::errc::invalid_argument, "the peer's arena has no slot {}", slot));
      break;
    case ReadRefusalReason::other_size:
      end(at,
          fail(std::errc::invalid_argument, "the peer's slot {} has {} bytes, the loan for it {}",
               slot, frame.bytes, at->second.loan.bytes().size()));
      break;
    case ReadRefusalReason::nothing_published:
      end(at, fail(std::errc::no_message_available, "nothing was published in the peer's slot {}",
                   slot));
      break;
    case ReadRefusalReason::no_pin:
      end(at,
          fail(std::errc::resource_unavailable_try_again, "the peer's slot {} gives no pin", slot));
      break;
  }
  return success();
}

// ---- Letters ----

void Requests::send(std::uint32_t mailbox, const Letter& letter, Deadline deadline, SendDone done) {
  if (letters_.size() >= Fabric::kMostInFlight) return done(too_much());
  auto frame = make_frame<LetterFrame>();
  frame.number = next_letter_++;
  frame.mailbox = mailbox;
  frame.letter = letter;
  letters_.emplace(frame.number, LetterUnderWay{deadline, std::move(done)});
  stream_.send(frame);
}

Result<> Requests::on(const LetterAnswer& frame) {
  if (frame.number >= next_letter_)
    return wrong("an answer to letter {}, which was not sent", frame.number);
  const auto at = letters_.find(frame.number);
  if (at == letters_.end()) return success();
  const SendDone done = std::move(at->second.done);
  letters_.erase(at);
  switch (frame.verdict) {
    case LetterVerdict::delivered:
      done(success());
      break;
    case LetterVerdict::full:
      done(fail(std::errc::no_buffer_space, "the peer's mailbox is full"));
      break;
    case LetterVerdict::no_such_mailbox:
      done(fail(std::errc::invalid_argument, "the peer's arena has no such mailbox"));
      break;
  }
  return success();
}

// ---- Ends ----

std::optional<Deadline> Requests::expire(Deadline now, const std::string& peer) {
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
  for (auto at = letters_.begin(); at != letters_.end();) {
    const auto next = std::next(at);
    if (at->second.deadline <= now) {
      const SendDone done = std::move(at->second.done);
      letters_.erase(at);
      done(fail(std::errc::timed_out, "{} did not answer a letter in time", peer));
    }
    at = next;
  }
  std::optional<Deadline> first;
  const auto consider = [&](const auto& each) {
    if (!first || each.second.deadline < *first) first = each.second.deadline;
  };
  std::ranges::for_each(reads_, consider);
  std::ranges::for_each(letters_, consider);
  return first;
}

void Requests::end_all(const Error& error) {
  while (!reads_.empty()) end(reads_.begin(), error);
  for (auto letters = std::exchange(letters_, {}); auto& [number, letter] : letters)
    letter.done(error);
}

}  // namespace paceline
