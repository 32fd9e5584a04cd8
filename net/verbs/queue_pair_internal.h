// A reliable connection's end, over rdma_cm. Private to net/verbs. Threading: the I/O thread.
//   QP-1 Once the destructor has returned, no memory is written or read for it any more.
//   QP-2 The owner is told of the first error, once, and of nothing behind it; not from within a call
//        of its own.
//   QP-3 Not more is posted than the send queue holds; enough is signalled that it empties.
#pragma once

#include <rdma/rdma_cma.h>

#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "paceline/net/verbs/verbs_device_internal.h"

namespace paceline {

struct CmIdRelease {
  void operator()(rdma_cm_id* id) const { rdma_destroy_id(id); }
};
using CmId = std::unique_ptr<rdma_cm_id, CmIdRelease>;

class QueuePair {
 public:
  class Owner {
   public:
    virtual void on_received(std::span<const std::byte> frame) = 0;
    /// A READ that was posted with this number has brought its bytes.
    virtual void on_read(std::uint64_t number) = 0;
    /// What was posted before has gone: there is room.
    virtual void on_room() = 0;
    /// @param error  empty when the other side has disconnected
    virtual void on_end(const Error& error) = 0;

   protected:
    ~Owner() = default;
  };
  struct Read {
    std::uint64_t number = 0;
    std::byte* to = nullptr;
    std::uint32_t bytes = 0;
    std::uint32_t local_key = 0;
    std::uint64_t from = 0;
    std::uint32_t remote_key = 0;
    bool signalled = false;
    bool fenced = false;  ///< begins when all READs before have come
  };

  /// @param id  whose device is known; its context becomes this
  static Result<std::shared_ptr<QueuePair>> create(Turns& turns, VerbsDevice& device, CmId id);
  ~QueuePair();
  QueuePair(const QueuePair&) = delete;
  QueuePair& operator=(const QueuePair&) = delete;

  /// @param owner  null: nobody hears of it any more
  void set_owner(Owner* owner) { owner_ = owner; }
  VerbsDevice& device() const { return device_; }
  rdma_cm_id* id() const { return id_.get(); }
  std::uint32_t number() const { return number_; }
  std::size_t room() const { return VerbsDevice::kSends - posted_.size(); }
  bool has_posted() const { return !posted_.empty(); }

  /// READs under way at a time that the other side wants to have answered, and answers.
  void limit_reads(std::uint8_t answered, std::uint8_t asked);
  Result<> accept();   ///< of who was called
  Result<> connect();  ///< of who calls; establish() follows the answer
  Result<> establish();
  /// Nobody reads through it before.
  Result<> allow_reads();

  /// Both @pre room() > 0. They go with ring().
  void post_send(std::span<const std::byte> frame, bool signalled = false);
  void post_read(const Read& read);
  void ring();

  // By the device, and by whoever has rdma_cm's events.
  void on_posted_done(const ibv_wc& completion);
  void on_received(std::span<const std::byte> frame);
  void on_failed(const ibv_wc& completion);
  void on_disconnected();

 private:
  struct Posted {
    std::uint64_t read = 0;       // its number; 0: a SEND
    VerbsDevice::Note note = {};  // a SEND's bytes
  };

  QueuePair(Turns& turns, VerbsDevice& device, CmId id)
      : turns_(turns),
        device_(device),
        id_(std::move(id)),
        answered_(device.reads_answered()),
        asked_(device.reads_asked()) {}
  Result<> set_up();
  Result<> go_to(ibv_qp_state state);
  rdma_conn_param parameters() const;
  ibv_send_wr& next(const Posted& posted, bool signalled);
  void end(const Error& error);

  Turns& turns_;
  VerbsDevice& device_;
  CmId id_;
  VerbsOwner<ibv_qp, ibv_destroy_qp> pair_;
  std::uint8_t answered_, asked_;
  Owner* owner_ = nullptr;
  std::uint32_t own_id_ = 0, number_ = 0, most_inline_ = 0;
  bool ended_ = false;
  std::deque<Posted> posted_;       // in their order, until a signalled one behind them completes
  std::uint32_t first_posted_ = 0;  // the number of posted_.front(), counted from 0, modulo 2^32
  std::uint32_t silent_ = 0;        // at the end, that are not signalled
  struct Work {
    ibv_send_wr work;
    ibv_sge piece;
  };
  std::vector<Work> waiting_;  // for ring()
  const std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace paceline
