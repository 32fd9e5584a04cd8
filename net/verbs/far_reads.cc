// Why what is handed on is one version: header, payload, header, as net/slot.cc has it for readers
// without a pin.
//
//   H1  the header names version v in buffer b: read before, or told by the peer, who held a pin of it
//   H2  READs of the payload, posted after H1 has come
//   H3  a READ of the header, posted behind them on the same queue pair; held[b] == v?
//
// Versions never come back, so b held v from H1 to H3, and all that H2 read is v's, if H3 was read
// after H2. What a queue pair promises: the responder takes READs in the order of their posting, and
// their answers come in that order. What it does not promise: that the responder's device fetches
// from memory in that order. Fetches that a PCIe device has under way may pass each other. Where the
// device is a processor that copies (soft-RoCE), H3 follows H2 by program order, which x86 keeps for loads
// and which that kernel's locks keep elsewhere; a peer says so in its offer (`ordered`). From any
// other device H3 is fenced: it is not sent before all of H2 has come. That costs a round trip a
// read. H1 needs no fence: what is posted after it has come is fetched after it was.
//
// An eight-byte word that lies in one cache line is fetched whole by every device that is known; where
// it were not, H1 and H3 would differ, and the read would be repeated.
#include "paceline/net/verbs/far_reads_internal.h"

#define XXH_INLINE_ALL  // header only: nothing for consumers to link
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace paceline {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 19;
constexpr std::size_t kMostBytesOnTheirWay = std::size_t{4} << 20;
constexpr std::size_t kRoomForLetters = 32;  // in the send queue
constexpr std::uint32_t kMostDamaged = 3;
constexpr std::chrono::seconds kGrace{1};  // for READs whose deadline has passed
static_assert(sizeof(FarSlot) <= VerbsDevice::kNoteBytes);

template <class... Args>
Error wrong(fmt::format_string<Args...> text, Args&&... args) {
  return fail(std::errc::protocol_error, "{}", fmt::format(text, std::forward<Args>(args)...));
}

template <class T>
T copied(const std::byte* note) {
  T value;
  std::memcpy(&value, note, sizeof value);
  return value;
}

}  // namespace

FarReads::~FarReads() { PACELINE_CHECK(reads_.empty(), "{} reads were forgotten", reads_.size()); }

void FarReads::read(const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done) {
  const auto refuse = [&](const Error& error) {
    { const Loan gone = std::move(loan); }  // FA-6
    done(error);
  };
  if (reads_.size() >= Fabric::kMostInFlight) return refuse(too_much_under_way());
  if (from.slot >= offer_->slots)
    return refuse(fail(std::errc::invalid_argument, "the peer's arena has no slot {}", from.slot));
  begin({from, std::move(loan), deadline, std::move(done)});
}

void FarReads::begin(Read read) {
  if (checksums_) return ask(std::move(read));
  const auto known = known_.find(read.from.slot);
  const bool told = read.from.ticket != 0 && read.from.buffer < kBuffers && read.from.version != 0;
  const std::uint64_t number = ++last_read_;
  read.note = device_.take_note();
  const auto at = reads_.emplace(number, std::move(read)).first;
  Read& begun = at->second;
  if (known != known_.end() && (told || known->second.is_stable)) {
    const FarHeader& header = known->second.slot.header;
    begun.guessed = !told;
    fetch(at, told ? begun.from.buffer : header.buffer(),
          told ? begun.from.version : header.held[header.buffer()]);
  } else {
    turns_.push_back(number);
    pump();
  }
}

/// For a pin and where it is, from the peer's process.
void FarReads::ask(Read read) {
  const std::uint64_t number = ++last_read_;
  if (read.note.bytes == nullptr) read.note = device_.take_note();
  read.stage = Stage::asking;
  auto frame = make_frame<ReadRequest>();
  frame.read = number;
  frame.slot = read.from.slot;
  frame.checksum = checksums_ ? 1 : 0;
  frame.ticket = read.from.ticket;
  frame.bytes = read.loan.bytes().size();
  frame.within = milliseconds_until(read.deadline);
  reads_.emplace(number, std::move(read));
  road_.send(frame);
}

/// As it is now, and pinned: the writer is too fast, or what was announced has gone.
void FarReads::again(Reads::iterator at) {
  let_go(at->first, at->second);
  Read read = std::move(at->second);
  reads_.erase(at);
  read.from = RemoteSlot::newest(read.from.slot);
  read.pinned = read.guessed = false;
  ++read.retries;
  ask(std::move(read));
}

void FarReads::fetch(Reads::iterator at, std::uint32_t buffer, std::uint64_t version) {
  Read& read = at->second;
  const FarSlot& slot = known_.at(read.from.slot).slot;
  // Its size was compared when it was looked at; its place lies in what was offered.
  if (slot.bytes != read.loan.bytes().size())
    return end(
        at, fail(std::errc::invalid_argument, "the peer's slot {} has {} bytes, the loan for it {}",
                 read.from.slot, slot.bytes, read.loan.bytes().size()));
  read.buffer = buffer;
  read.version = version;
  // What has its memory elsewhere, or later, has another key: the peer tells it with a pin.
  if (slot.elsewhere != 0 || slot.later != 0) {
    Read moved = std::move(read);
    reads_.erase(at);
    return ask(std::move(moved));
  }
  fetch_at(at, words_of(read.from.slot) + slot.payload + buffer * slot.stride, offer_->key);
}

void FarReads::fetch_at(Reads::iterator at, std::uint64_t address, std::uint32_t key) {
  Read& read = at->second;
  read.stage = Stage::fetching;
  read.address = address;
  read.key = key;
  read.asked = 0;
  read.all_posted = false;
  turns_.push_back(at->first);
  pump();
}

// ---- What is posted ----

void FarReads::pump() {
  while (!turns_.empty() && pair_.room() > kRoomForLetters &&
         bytes_on_their_way_ < kMostBytesOnTheirWay) {
    const std::uint64_t number = turns_.front();
    turns_.pop_front();
    const auto at = reads_.find(number);
    if (at == reads_.end() || at->second.ended || at->second.all_posted) continue;
    if (!post_next(number, at->second)) turns_.push_back(number);
  }
  pair_.ring();
}

/// Of a read whose turn it is. @return whether that was all
bool FarReads::post_next(std::uint64_t number, Read& read) {
  QueuePair::Read next;
  next.number = number;
  if (read.stage == Stage::fetching && read.asked < read.loan.bytes().size()) {
    const auto left = read.loan.bytes().subspan(read.asked);
    const auto piece = left.first(std::min(left.size(), kPieceBytes));
    const auto region = device_.region_of(read.loan.bytes());
    if (!region) {
      read.ended = region.error();
      // Told from the loop: who asks is still at it.
      if (read.on_their_way == 0) read.deadline = FabricClock::now();
      return true;
    }
    next.to = piece.data();
    next.bytes = static_cast<std::uint32_t>(piece.size());
    next.local_key = region.value()->lkey;
    next.from = read.address + read.asked;
    next.remote_key = read.key;
    next.signalled = piece.size() == kPieceBytes;
    read.asked += piece.size();
    read.piece_bytes += piece.size();
    bytes_on_their_way_ += piece.size();
    pair_.post_read(next);
    ++read.on_their_way;
    // Of what goes in one piece the header follows at once: there is room, and it costs no turn.
    if (read.asked < read.loan.bytes().size()) return false;
  }
  const bool looking = read.stage == Stage::looking;
  next = {};
  next.number = number;
  next.to = read.note.bytes + (looking ? 0 : kFarHeaderOffset);
  next.bytes = looking ? sizeof(FarSlot) : sizeof(FarHeader);
  next.local_key = read.note.key;
  next.from = words_of(read.from.slot) + (looking ? 0 : kFarHeaderOffset);
  next.remote_key = offer_->key;
  next.signalled = true;
  next.fenced = !looking && offer_->ordered == 0;
  pair_.post_read(next);
  ++read.on_their_way;
  read.all_posted = true;
  return true;
}

// ---- What comes ----

Result<FarReads::Reads::iterator> FarReads::find(std::uint64_t number) {
  if (number > last_read_) return wrong("an answer to read {}, which was not asked for", number);
  return reads_.find(number);
}

Result<> FarReads::on_read(std::uint64_t number) {
  const auto at = reads_.find(number);
  PACELINE_CHECK(at != reads_.end() && at->second.on_their_way > 0, "read {} was forgotten",
                 number);
  Read& read = at->second;
  if (--read.on_their_way > 0) return success();
  bytes_on_their_way_ -= read.piece_bytes;
  read.bytes += std::exchange(read.piece_bytes, 0);
  if (read.ended) {
    end(at, Error(*read.ended));
    return success();
  }
  if (!read.all_posted) return success();
  return read.stage == Stage::looking ? looked(at) : fetched(at);
}

Result<> FarReads::looked(Reads::iterator at) {
  Read& read = at->second;
  const std::uint32_t index = read.from.slot;
  const auto slot = copied<FarSlot>(read.note.bytes);
  const std::uint64_t head = offer_->first_slot + index * offer_->slot_stride;
  const bool in_arena = slot.elsewhere == 0 && slot.later == 0;
  constexpr std::uint64_t kMost = std::uint64_t{1} << 48;
  if (slot.bytes > slot.stride || slot.stride > kMost || slot.payload > kMost ||
      (in_arena && head + slot.payload + kBuffers * slot.stride > offer_->bytes))
    return wrong("slot {} does not lie in the arena that was offered", index);
  Known& known = known_[index];
  known.slot = slot;
  if (slot.bytes != read.loan.bytes().size()) {
    fetch(at, 0, 0);  // says so
    return success();
  }
  if (read.from.ticket != 0 && read.from.buffer < kBuffers && read.from.version != 0) {
    fetch(at, read.from.buffer, read.from.version);
    return success();
  }
  const FarHeader& header = slot.header;
  if (publication_of(header.newest) == 0) {
    end(at, fail(std::errc::no_message_available, "nothing was published in the peer's slot {}",
                 index));
    return success();
  }
  if (header.buffer() >= kBuffers) return wrong("slot {} has no buffer {}", index, header.buffer());
  const std::uint64_t version = header.held[header.buffer()];
  if (version == 0)
    again(at);  // overtaken between the two words
  else
    fetch(at, header.buffer(), version);
  return success();
}

Result<> FarReads::fetched(Reads::iterator at) {
  Read& read = at->second;
  const auto header = copied<FarHeader>(read.note.bytes + kFarHeaderOffset);
  if (header.buffer() >= kBuffers)
    return wrong("slot {} has no buffer {}", read.from.slot, header.buffer());
  const auto known = known_.find(read.from.slot);
  if (known != known_.end()) known->second.slot.header = header;
  if (header.held[read.buffer] != read.version) {
    if (known != known_.end()) known->second.is_stable = false;
    again(at);
    return success();
  }
  if (read.guessed && header.buffer() != read.buffer) {
    // Whole, but no longer the newest. This header is the next one's first.
    known->second.is_stable = read.guessed = false;
    ++read.retries;
    const std::uint64_t version = header.held[header.buffer()];
    if (version == 0)
      again(at);
    else
      fetch(at, header.buffer(), version);
    return success();
  }
  if (checksums_ &&
      XXH3_64bits(read.loan.bytes().data(), read.loan.bytes().size()) != read.checksum) {
    if (++read.damaged < kMostDamaged)
      again(at);
    else
      end(at, fail(std::errc::illegal_byte_sequence, "slot {} came damaged {} times",
                   read.from.slot, kMostDamaged));
    return success();
  }
  if (known != known_.end()) {
    known->second.is_stable = known->second.last_version == read.version;
    known->second.last_version = read.version;
  }
  let_go(at->first, read);
  Read done = std::move(read);
  reads_.erase(at);
  device_.give_back(done.note);
  done.done(Arrival{std::move(done.loan), done.version, done.bytes, done.retries});
  return success();
}

Result<> FarReads::on(const ReadOffer& frame) {
  PACELINE_TRY(const auto at, find(frame.read));
  if (at == reads_.end()) {  // given up meanwhile; the acknowledgement is on its way
    return success();
  }
  Read& read = at->second;
  if (read.stage != Stage::asking || read.pinned)
    return wrong("read {} is offered twice", frame.read);
  if (frame.bytes != read.loan.bytes().size())
    return wrong("read {} is offered {} bytes instead of {}", frame.read, frame.bytes,
                 read.loan.bytes().size());
  read.pinned = true;
  read.buffer = frame.buffer;
  read.version = frame.version;
  read.checksum = frame.checksum;
  fetch_at(at, frame.address, frame.key);
  return success();
}

Result<> FarReads::on(const ReadRefusal& frame) {
  PACELINE_TRY(const auto at, find(frame.read));
  if (at == reads_.end()) return success();
  if (at->second.stage != Stage::asking || at->second.pinned)
    return wrong("read {} is refused after it was offered", frame.read);
  end(at, refused_read(frame, at->second.from.slot, at->second.loan.bytes().size()));
  return success();
}

// ---- Ends ----

/// The peer's pin is needed no longer.
void FarReads::let_go(std::uint64_t number, const Read& read) {
  auto frame = make_frame<Acknowledge>();
  frame.read = read.stage == Stage::asking || read.pinned ? number : 0;
  frame.ticket = read.from.ticket;
  if (frame.read != 0 || frame.ticket != 0) road_.send(frame);
}

void FarReads::end(Reads::iterator at, const Error& error) {
  let_go(at->first, at->second);
  ReadDone done = std::move(at->second.done);
  device_.give_back(at->second.note);
  reads_.erase(at);  // and with it the loan
  done(error);
}

Result<std::optional<Deadline>> FarReads::expire(Deadline now, const std::string& peer) {
  std::optional<Deadline> first;
  for (auto at = reads_.begin(); at != reads_.end();) {
    const auto here = at++;
    Read& read = here->second;
    if (read.deadline > now) {
      first = std::min(first.value_or(read.deadline), read.deadline);
      continue;
    }
    if (!read.ended)
      read.ended =
          fail(std::errc::timed_out, "slot {} of {} was not read in time", read.from.slot, peer);
    if (read.on_their_way == 0) {
      end(here, Error(*read.ended));
    } else if (now > read.deadline + kGrace) {
      return fail(std::errc::timed_out, "a READ of slot {} of {} does not come back",
                  read.from.slot, peer);
    } else {
      const Deadline grace = read.deadline + kGrace + std::chrono::milliseconds(1);
      first = std::min(first.value_or(grace), grace);
    }
  }
  return first;
}

void FarReads::end_all(const Error& error) {
  while (!reads_.empty()) {
    const auto at = reads_.begin();
    ReadDone done = std::move(at->second.done);
    device_.give_back(at->second.note);
    reads_.erase(at);
    done(error);
  }
}

}  // namespace paceline
