#include "paceline/net/verbs/queue_pair_internal.h"

#include <boost/asio/post.hpp>
#include <cstring>
#include <utility>

namespace paceline {
namespace {

constexpr std::uint32_t kMostSilent = VerbsDevice::kSends / 4;
constexpr std::uint32_t kInline = 256;       // wanted: a whole frame
constexpr std::uint8_t kNotReadyTimer = 12;  // 0.64 ms

}  // namespace

Result<std::shared_ptr<QueuePair>> QueuePair::create(boost::asio::io_context& context,
                                                     VerbsDevice& device, CmId id) {
  std::shared_ptr<QueuePair> pair(new QueuePair(context, device, std::move(id)));
  PACELINE_TRYV(pair->set_up());
  return pair;
}

Result<> QueuePair::set_up() {
  ibv_qp_init_attr wanted = {};
  wanted.send_cq = wanted.recv_cq = device_.completions();
  wanted.srq = device_.receives();
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap.max_send_wr = VerbsDevice::kSends;
  wanted.cap.max_send_sge = 1;
  wanted.cap.max_inline_data = kInline;
  if (rdma_create_qp(id_.get(), device_.domain(), &wanted) != 0) {
    wanted.cap.max_inline_data = 0;  // frames are copied to registered memory anyway
    if (rdma_create_qp(id_.get(), device_.domain(), &wanted) != 0)
      return fail_errno(errno, "no queue pair on {}", device_.name());
  }
  most_inline_ = wanted.cap.max_inline_data;
  number_ = id_->qp->qp_num;
  own_id_ = device_.remember(*this);
  id_->context = this;
  // rdma_cm would let everybody read: VB-1.
  ibv_qp_attr none = {};
  none.qp_state = IBV_QPS_INIT;
  none.qp_access_flags = 0;
  none.port_num = id_->port_num;
  if (const int error = ibv_modify_qp(
          id_->qp, &none, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
    return fail_errno(error, "a queue pair of {} cannot be closed to reads", device_.name());
  return success();
}

QueuePair::~QueuePair() {
  *alive_ = false;
  if (number_ == 0) return;
  rdma_disconnect(id_.get());
  rdma_destroy_qp(id_.get());
  for (const Posted& each : posted_)
    if (each.note.bytes != nullptr) device_.give_back(each.note);
  device_.forget(own_id_, number_);
}

Result<> QueuePair::allow_reads() {
  ibv_qp_attr wanted = {};
  wanted.qp_access_flags = IBV_ACCESS_REMOTE_READ;
  wanted.min_rnr_timer = kNotReadyTimer;
  if (const int error = ibv_modify_qp(id_->qp, &wanted, IBV_QP_ACCESS_FLAGS | IBV_QP_MIN_RNR_TIMER))
    return fail_errno(error, "a queue pair of {} cannot be opened to reads", device_.name());
  return success();
}

// ---- What is posted ----

ibv_send_wr& QueuePair::next(const Posted& posted, bool signalled) {
  const std::uint32_t number = first_posted_ + static_cast<std::uint32_t>(posted_.size());
  posted_.push_back(posted);
  silent_ = signalled || silent_ + 1 == kMostSilent ? 0 : silent_ + 1;
  Work& work = waiting_.emplace_back();
  work = {};
  work.work.wr_id = std::uint64_t{own_id_} << 32 | number;
  work.work.num_sge = 1;
  if (silent_ == 0) work.work.send_flags = IBV_SEND_SIGNALED;
  return work.work;
}

void QueuePair::post_send(std::span<const std::byte> frame, bool signalled) {
  const VerbsDevice::Note note = device_.take_note();
  std::memcpy(note.bytes, frame.data(), frame.size());
  ibv_send_wr& work = next({0, note}, signalled);
  work.opcode = IBV_WR_SEND;
  if (frame.size() <= most_inline_) work.send_flags |= IBV_SEND_INLINE;
  waiting_.back().piece = {reinterpret_cast<std::uint64_t>(note.bytes),
                           static_cast<std::uint32_t>(frame.size()), note.key};
}

void QueuePair::post_read(const Read& read) {
  ibv_send_wr& work = next({read.number, {}}, read.signalled);
  work.opcode = IBV_WR_RDMA_READ;
  if (read.fenced) work.send_flags |= IBV_SEND_FENCE;
  work.wr.rdma.remote_addr = read.from;
  work.wr.rdma.rkey = read.remote_key;
  waiting_.back().piece = {reinterpret_cast<std::uint64_t>(read.to), read.bytes, read.local_key};
}

void QueuePair::ring() {
  if (waiting_.empty()) return;
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    waiting_[i].work.sg_list = &waiting_[i].piece;
    waiting_[i].work.next = i + 1 < waiting_.size() ? &waiting_[i + 1].work : nullptr;
  }
  ibv_send_wr* refused = nullptr;
  const int error = ibv_post_send(id_->qp, &waiting_.front().work, &refused);
  waiting_.clear();
  if (error == 0) return;
  boost::asio::post(context_, [this, alive = alive_, error] {
    if (*alive) end(fail_errno(error, "{} takes no work", device_.name()));
  });
}

// ---- What comes ----

void QueuePair::on_posted_done(const ibv_wc& completion) {
  if (completion.status != IBV_WC_SUCCESS) return on_failed(completion);
  const auto number = static_cast<std::uint32_t>(completion.wr_id);
  const auto alive = alive_;
  while (!posted_.empty() && static_cast<std::int32_t>(number - first_posted_) >= 0) {
    const Posted done = posted_.front();
    posted_.pop_front();
    ++first_posted_;
    if (done.note.bytes != nullptr) device_.give_back(done.note);
    if (done.read != 0 && owner_ != nullptr) owner_->on_read(done.read);
    if (!*alive) return;
  }
  if (owner_ != nullptr) owner_->on_room();
}

void QueuePair::on_received(std::span<const std::byte> frame) {
  if (owner_ != nullptr && !ended_) owner_->on_received(frame);
}

void QueuePair::on_failed(const ibv_wc& completion) {
  end(fail(std::errc::connection_reset, "{} ({}, vendor's {:#x})",
           ibv_wc_status_str(completion.status), device_.name(), completion.vendor_err));
}

void QueuePair::on_disconnected() { end({}); }

void QueuePair::end(const Error& error) {
  if (std::exchange(ended_, true)) return;
  if (owner_ != nullptr) owner_->on_end(error);
}

}  // namespace paceline
