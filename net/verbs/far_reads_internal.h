// The reads that this side makes in a peer's arena, by READs. Private to net/verbs. Threading: the I/O
// thread.
//   FR-4 Whatever was taken leaves by its callback, once, and its loan before that (FA-1, FA-6); no
//        loan goes while a READ into it is on its way (VB-3).
//   FR-5 What is handed on was read between two headers that name its version (FA-2, SL-5); far_reads.cc
//        has the argument.
//   FR-6 Reads take turns, a piece each; few pieces are on their way at a time, so that a letter does
//        not wait behind a whole slot.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "paceline/net/fabric.h"
#include "paceline/net/frames.h"
#include "paceline/net/peers/road_internal.h"
#include "paceline/net/verbs/far_slot_internal.h"
#include "paceline/net/verbs/queue_pair_internal.h"

namespace paceline {

class FarReads {
 public:
  /// @param road  for what is asked of the peer
  FarReads(Road& road, QueuePair& pair, FabricOptions::Checksums checksums)
      : road_(road),
        pair_(pair),
        device_(pair.device()),
        checksums_(checksums == FabricOptions::Checksums::on) {}
  ~FarReads();

  /// @pre before the first read
  void introduce(const ArenaOffer& offer) { offer_ = offer; }
  bool is_introduced() const { return offer_.has_value(); }

  void read(const RemoteSlot& from, Loan loan, Deadline deadline, ReadDone done);
  bool empty() const { return reads_.empty(); }

  // What the peer answers, and what comes. An error: no correct peer does this.
  Result<> on(const ReadOffer& frame);
  Result<> on(const ReadRefusal& frame);
  Result<> on_read(std::uint64_t number);
  /// Posts what there is room for.
  void pump();

  /// @param peer  for the error: who it is, and its last sign of life
  /// @return the next deadline, if there is one; an error when READs do not come back
  Result<std::optional<Deadline>> expire(Deadline now, const std::string& peer);
  /// @pre the queue pair is no more
  void end_all(const Error& error);

 private:
  enum class Stage { looking, asking, fetching };
  struct Read {
    RemoteSlot from;
    Loan loan;
    Deadline deadline;
    ReadDone done;
    Stage stage = Stage::looking;
    bool pinned = false;          // the peer has a pin for it, under its number
    bool guessed = false;         // fetched from where the newest was, without having looked
    VerbsDevice::Note note = {};  // for headers
    std::uint32_t buffer = 0;
    std::uint64_t version = 0, checksum = 0;
    std::uint64_t address = 0;  // of the payload, there
    std::uint32_t key = 0;
    std::size_t asked = 0;  // of the payload, posted so far
    bool all_posted = false;
    std::uint32_t on_their_way = 0;  // READs
    std::size_t piece_bytes = 0;     // of these
    std::uint64_t bytes = 0;         // in all
    std::uint32_t retries = 0, damaged = 0;
    std::optional<Error> ended = {};  // to be told when nothing is on its way
  };
  /// Of a slot there, from earlier reads.
  struct Known {
    FarSlot slot;
    bool is_stable = false;  // the last two reads brought the same version
    std::uint64_t last_version = 0;
  };
  using Reads = std::map<std::uint64_t, Read>;

  void begin(Read read);
  void ask(Read read);
  void again(Reads::iterator at);
  void fetch(Reads::iterator at, std::uint32_t buffer, std::uint64_t version);
  void fetch_at(Reads::iterator at, std::uint64_t address, std::uint32_t key);
  bool post_next(std::uint64_t number, Read& read);
  Result<> looked(Reads::iterator at);
  Result<> fetched(Reads::iterator at);
  void let_go(std::uint64_t number, const Read& read);
  void end(Reads::iterator at, const Error& error);
  Result<Reads::iterator> find(std::uint64_t number);
  std::uint64_t words_of(std::uint32_t slot) const {
    return offer_->address + offer_->first_slot + slot * offer_->slot_stride;
  }

  Road& road_;
  QueuePair& pair_;  // may be no more when end_all() is called
  VerbsDevice& device_;
  const bool checksums_;
  std::optional<ArenaOffer> offer_;
  std::uint64_t last_read_ = 0;
  Reads reads_;
  std::deque<std::uint64_t> turns_;
  std::map<std::uint32_t, Known> known_;
  std::size_t bytes_on_their_way_ = 0;
};

}  // namespace paceline
