#include "paceline/net/verbs/queue_pair_internal.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace paceline {
namespace {

constexpr std::uint32_t kMostSilent = VerbsDevice::kSends / 4;
constexpr std::uint32_t kInline = 256;  // wanted: a whole frame
constexpr std::uint8_t kRetries = 7;
constexpr std::uint8_t kNotReadyRetries = 6;  // 7 would be for ever
constexpr std::uint8_t kNotReadyTimer = 12;   // 0.64 ms

}  // namespace

Result<std::shared_ptr<QueuePair>> QueuePair::create(Turns& turns, VerbsDevice& device, CmId id) {
  std::shared_ptr<QueuePair> pair(new QueuePair(turns, device, std::move(id)));
  PACELINE_TRYV(pair->set_up());
  return pair;
}

Result<> QueuePair::set_up() {
  ibv_qp_init_attr wanted = {};
  wanted.send_cq = device_.sent();
  wanted.recv_cq = device_.arrived();
  wanted.srq = device_.receives();
  wanted.qp_type = IBV_QPT_RC;
  wanted.cap.max_send_wr = VerbsDevice::kSends;
  wanted.cap.max_send_sge = 1;
  wanted.cap.max_inline_data = kInline;
  pair_.reset(ibv_create_qp(device_.domain(), &wanted));
  if (pair_ == nullptr) {
    wanted.cap.max_inline_data = 0;  // frames are copied to registered memory anyway
    pair_.reset(ibv_create_qp(device_.domain(), &wanted));
  }
  if (pair_ == nullptr) return fail_errno(errno, "no queue pair on {}", device_.name());
  most_inline_ = wanted.cap.max_inline_data;
  number_ = pair_->qp_num;
  own_id_ = device_.remember(*this);
  id_->context = this;
  return go_to(IBV_QPS_INIT);
}

/// rdma_cm knows the path; what may be done through it is ours to say: it would let everybody read and
/// write from the first moment (VB-1).
Result<> QueuePair::go_to(ibv_qp_state state) {
  ibv_qp_attr wanted = {};
  wanted.qp_state = state;
  int which = 0;
  if (rdma_init_qp_attr(id_.get(), &wanted, &which) != 0)
    return fail_errno(errno, "rdma_cm knows no path on {}", device_.name());
  wanted.qp_access_flags = 0;
  wanted.min_rnr_timer = kNotReadyTimer;
  if (state == IBV_QPS_RTR) wanted.max_dest_rd_atomic = answered_;
  if (state == IBV_QPS_RTS) wanted.max_rd_atomic = asked_;
  if (const int error = ibv_modify_qp(pair_.get(), &wanted, which))
    return fail_errno(error, "a queue pair of {} cannot be brought up", device_.name());
  return success();
}

void QueuePair::limit_reads(std::uint8_t answered, std::uint8_t asked) {
  answered_ = std::min(answered, device_.reads_answered());
  asked_ = std::min(asked, device_.reads_asked());
}

rdma_conn_param QueuePair::parameters() const {
  rdma_conn_param wanted = {};
  wanted.responder_resources = answered_;
  wanted.initiator_depth = asked_;
  wanted.retry_count = kRetries;
  wanted.rnr_retry_count = kNotReadyRetries;
  wanted.qp_num = number_;
  wanted.srq = 1;
  return wanted;
}

Result<> QueuePair::accept() {
  PACELINE_TRYV(go_to(IBV_QPS_RTR));
  PACELINE_TRYV(go_to(IBV_QPS_RTS));
  rdma_conn_param wanted = parameters();
  if (rdma_accept(id_.get(), &wanted) != 0)
    return fail_errno(errno, "{} cannot accept", device_.name());
  return success();
}

Result<> QueuePair::connect() {
  rdma_conn_param wanted = parameters();
  if (rdma_connect(id_.get(), &wanted) != 0)
    return fail_errno(errno, "{} cannot connect", device_.name());
  return success();
}

Result<> QueuePair::establish() {
  PACELINE_TRYV(go_to(IBV_QPS_RTR));
  PACELINE_TRYV(go_to(IBV_QPS_RTS));
  if (rdma_establish(id_.get()) != 0) return fail_errno(errno, "{} cannot connect", device_.name());
  return success();
}

QueuePair::~QueuePair() {
  *alive_ = false;
  if (number_ == 0) return;
  rdma_disconnect(id_.get());
  pair_.reset();
  for (const Posted& each : posted_)
    if (each.note.bytes != nullptr) device_.give_back(each.note);
  device_.count_posted(-static_cast<std::int64_t>(posted_.size()));
  device_.forget(own_id_, number_);
}

Result<> QueuePair::allow_reads() {
  ibv_qp_attr wanted = {};
  wanted.qp_access_flags = IBV_ACCESS_REMOTE_READ;
  if (const int error = ibv_modify_qp(pair_.get(), &wanted, IBV_QP_ACCESS_FLAGS))
    return fail_errno(error, "a queue pair of {} cannot be opened to reads", device_.name());
  return success();
}

// ---- What is posted ----

ibv_send_wr& QueuePair::next(const Posted& posted, bool signalled) {
  const std::uint32_t number = first_posted_ + static_cast<std::uint32_t>(posted_.size());
  posted_.push_back(posted);
  device_.count_posted(1);
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
  const int error = ibv_post_send(pair_.get(), &waiting_.front().work, &refused);
  waiting_.clear();
  if (error == 0) return;
  turns_.post([this, alive = alive_, error] {
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
    device_.count_posted(-1);
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
