// An RDMA device, this process's arena on it, and what comes out of it. Private to net/verbs.
// Threading: the I/O thread; open() any one thread.
//   VD-1 A queue pair that was forgotten is told nothing any more, though the system may give its
//        number to another one.
//   VD-2 Frames that arrive always make an event. What is posted does only when it is under way at the
//        end of a turn: what completes as fast as that costs no event and no sleep.
//   VD-3 With one CPU nothing spins: who waits sleeps in the completion channel. With more the queue
//        is looked at a little longer, as long as that finds something.
#pragma once

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "paceline/net/arena.h"
#include "paceline/net/frames.h"
#include "paceline/net/peers/turns_internal.h"
#include "paceline/net/verbs/verbs_owner_internal.h"

namespace paceline {

class QueuePair;

/// Memory that lies on a device and is exported for others.
struct DmaBuf {
  int descriptor = -1;
  std::uint64_t offset = 0;
};

class VerbsDevice {
 public:
  static constexpr std::uint32_t kSends = 128;   ///< that a queue pair has under way
  static constexpr std::uint32_t kCredits = 32;  ///< frames from each peer
  static constexpr std::size_t kNoteBytes = 256;

  /// @param peers  at most, strangers included
  static Result<std::unique_ptr<VerbsDevice>> open(Turns& turns, ibv_context* device,
                                                   const Arena& arena, std::uint32_t peers);
  ~VerbsDevice();
  void start();

  std::string name() const { return ibv_get_device_name(device_->device); }
  ibv_pd* domain() const { return domain_.get(); }
  ibv_cq* sent() const { return sent_.get(); }
  ibv_cq* arrived() const { return arrived_.get(); }
  ibv_srq* receives() const { return receives_.get(); }
  std::uint8_t reads_asked() const { return reads_asked_; }
  std::uint8_t reads_answered() const { return reads_answered_; }
  /// Whether READs that arrive in order look at memory in that order.
  bool is_ordered() const { return ordered_; }
  const ibv_mr& arena_region() const { return *regions_.front().owner; }
  /// Of memory that lies in one piece of the arena, or elsewhere; registered when it is not yet.
  Result<ibv_mr*> region_of(std::span<const std::byte> bytes);

  /// A registered place for `kNoteBytes`: a read's header, a frame.
  struct Note {
    std::byte* bytes = nullptr;
    std::uint32_t key = 0;
  };
  Note take_note();
  void give_back(Note note) { free_notes_.push_back(note); }

  /// @return its part of every wr_id
  std::uint32_t remember(QueuePair& pair);
  /// @pre the queue pair is destroyed
  void forget(std::uint32_t id, std::uint32_t number);
  bool knows(const QueuePair* pair) const {
    return std::ranges::any_of(pairs_, [=](const auto& each) { return each.second == pair; });
  }
  /// Takes what has completed. Not from a callback.
  void process();
  /// At the end of a turn: the same, and what is still under way makes an event when it completes.
  void look();
  /// That many more, or fewer, are under way.
  void count_posted(std::int64_t more) { posted_ += more; }

 private:
  VerbsDevice(Turns& turns, ibv_context* device, const Arena& arena)
      : arena_(arena), device_(device), turns_(turns), channel_events_(turns.context()) {}

  Result<> set_up(std::uint32_t peers);
  Result<ibv_mr*> add_region(std::span<const std::byte> bytes, std::optional<DmaBuf> exported);
  Result<> add_notes();
  Result<> post_receive(std::uint32_t index);
  void wait();
  void look_again();
  bool take(const ibv_wc& completion);
  int poll(ibv_wc* into, int most);
  void arm(ibv_cq& queue);

  struct Region {
    std::span<const std::byte> bytes;
    VerbsOwner<ibv_mr, ibv_dereg_mr> owner;
  };
  const Arena& arena_;
  ibv_context* const device_;
  Turns& turns_;
  std::uint8_t reads_asked_ = 1, reads_answered_ = 1;
  bool ordered_ = false;

  // In the order of their making: they go the other way round.
  VerbsOwner<ibv_pd, ibv_dealloc_pd> domain_;
  std::vector<Region> regions_;   // the arena's first
  std::vector<std::byte> inbox_;  // frames that arrive
  VerbsOwner<ibv_mr, ibv_dereg_mr> inbox_region_;
  struct Notes {
    std::vector<std::byte> bytes;
    VerbsOwner<ibv_mr, ibv_dereg_mr> region;
  };
  std::deque<Notes> notes_;
  std::vector<Note> free_notes_;
  VerbsOwner<ibv_comp_channel, ibv_destroy_comp_channel> channel_;
  VerbsOwner<ibv_cq, ibv_destroy_cq> sent_, arrived_;  // of what is posted; of frames
  VerbsOwner<ibv_srq, ibv_destroy_srq> receives_;
  boost::asio::posix::stream_descriptor channel_events_;

  std::uint32_t last_id_ = 0;
  std::map<std::uint32_t, QueuePair*> pairs_;                      // by their part of a wr_id
  std::unordered_map<std::uint32_t, QueuePair*> pairs_by_number_;  // as receives tell it
  std::deque<ibv_wc> set_aside_;  // taken from the queue when a queue pair went
  std::chrono::nanoseconds spin_{0};
  std::int64_t posted_ = 0;  // by all queue pairs
  bool is_armed_ = false;    // sent_ makes an event
};

}  // namespace paceline
