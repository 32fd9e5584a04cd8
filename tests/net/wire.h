// Frames to and from a fabric's port, without any fabric: what a stranger has. Over a stream, or over
// a queue pair by rdma_cm's synchronous calls.
#pragma once

#include <poll.h>
#include <rdma/rdma_verbs.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "paceline/net/frames.h"

namespace paceline {

inline boost::asio::ip::tcp::endpoint endpoint_from(const std::string& address) {
  const auto colon = address.rfind(':');
  return {boost::asio::ip::make_address(address.substr(0, colon)),
          static_cast<std::uint16_t>(std::stoul(address.substr(colon + 1)))};
}

class WireEnd {
 public:
  virtual ~WireEnd() = default;
  /// The other side may have closed already: that is its right.
  virtual void say(std::span<const std::byte> bytes) = 0;
  virtual void say_no_more() = 0;
  /// @return the next frame's bytes; none when the other side has closed, or what came is none
  virtual std::vector<std::byte> next() = 0;
  /// Whether next() gave up because nothing came.
  bool late() const { return late_; }

 protected:
  bool late_ = false;
};

class StreamEnd final : public WireEnd {
 public:
  explicit StreamEnd(const std::string& address) {
    if (address.front() == '@') {
      sockaddr_un name = {};
      name.sun_family = AF_UNIX;
      std::memcpy(name.sun_path + 1, address.data() + 1, address.size() - 1);
      const auto bytes = offsetof(sockaddr_un, sun_path) + address.size();
      connect_to(reinterpret_cast<const sockaddr*>(&name), static_cast<socklen_t>(bytes));
    } else {
      const auto end = endpoint_from(address);
      connect_to(end.data(), static_cast<socklen_t>(end.size()));
    }
  }
  StreamEnd(const StreamEnd&) = delete;
  StreamEnd& operator=(const StreamEnd&) = delete;
  ~StreamEnd() override { close(socket_); }

  void say(std::span<const std::byte> bytes) override {
    ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  void say_no_more() override { shutdown(socket_, SHUT_WR); }
  std::vector<std::byte> next() override {
    std::vector<std::byte> bytes(sizeof(FrameHead));
    if (!fill(bytes)) return {};
    const auto head = parse_frame_head(bytes);
    if (!head) return {};
    bytes.resize(head.value().bytes);
    if (!fill(std::span(bytes).subspan(sizeof(FrameHead)))) return {};
    return bytes;
  }

 private:
  void connect_to(const sockaddr* address, socklen_t bytes) {
    socket_ = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PACELINE_CHECK(connect(socket_, address, bytes) == 0, "{}", std::strerror(errno));
  }
  bool fill(std::span<std::byte> to) {
    while (!to.empty()) {
      pollfd ready = {socket_, POLLIN, 0};
      late_ = poll(&ready, 1, 60'000) <= 0;
      if (late_) return false;
      const auto bytes = recv(socket_, to.data(), to.size(), 0);
      if (bytes <= 0) return false;
      to = to.subspan(static_cast<std::size_t>(bytes));
    }
    return true;
  }

  int socket_ = -1;
};

class QueuePairEnd final : public WireEnd {
 public:
  explicit QueuePairEnd(const std::string& address) {
    auto where = endpoint_from(address);
    check(rdma_create_id(nullptr, &id_, nullptr, RDMA_PS_TCP), "no identifier");
    check(rdma_resolve_addr(id_, nullptr, where.data(), 5'000), "no address");
    check(rdma_resolve_route(id_, 5'000), "no route");
    ibv_qp_init_attr wanted = {};
    wanted.qp_type = IBV_QPT_RC;
    wanted.cap = {4, kReceives, 1, 1, 0};
    check(rdma_create_qp(id_, nullptr, &wanted), "no queue pair");
    region_ = ibv_reg_mr(id_->pd, memory_.data(), memory_.size(), IBV_ACCESS_LOCAL_WRITE);
    PACELINE_CHECK(region_ != nullptr, "no region");
    for (std::size_t i = 0; i < kReceives; ++i) post_receive(i);
    rdma_conn_param parameters = {};
    parameters.responder_resources = parameters.initiator_depth = 1;
    parameters.retry_count = 7;
    parameters.rnr_retry_count = 6;
    check(rdma_connect(id_, &parameters), "not connected");
    // From here on nothing waits but next().
    check(rdma_migrate_id(id_, events_.get()), "no events");
  }
  QueuePairEnd(const QueuePairEnd&) = delete;
  QueuePairEnd& operator=(const QueuePairEnd&) = delete;
  ~QueuePairEnd() override {
    rdma_disconnect(id_);
    rdma_destroy_qp(id_);
    ibv_dereg_mr(region_);
    rdma_destroy_id(id_);
  }

  void say(std::span<const std::byte> bytes) override {
    std::memcpy(outgoing(), bytes.data(), bytes.size());
    if (rdma_post_send(id_, nullptr, outgoing(), bytes.size(), region_, IBV_SEND_SIGNALED) == 0)
      wait_for_sent();
  }
  void say_no_more() override { rdma_disconnect(id_); }
  std::vector<std::byte> next() override {
    for (;;) {
      ibv_wc done;
      if (ibv_poll_cq(id_->recv_cq, 1, &done) == 1) {
        if (done.status != IBV_WC_SUCCESS) continue;  // its end is an event
        const std::byte* from = &memory_[done.wr_id * kBytes];
        std::vector<std::byte> bytes(from, from + done.byte_len);
        post_receive(done.wr_id);
        return bytes;
      }
      if (closed_) return {};
      ibv_req_notify_cq(id_->recv_cq, 0);
      if (ibv_poll_cq(id_->recv_cq, 0, nullptr) != 0) continue;
      std::array<pollfd, 2> ready = {pollfd{id_->recv_cq_channel->fd, POLLIN, 0},
                                     pollfd{id_->channel->fd, POLLIN, 0}};
      // What came between is found a little later.
      for (int turn = 0; turn < 600 && poll(ready.data(), ready.size(), 100) == 0; ++turn)
        late_ = turn == 599;
      if (late_) return {};
      if (ready[1].revents != 0) take_event();
      if (ready[0].revents != 0) take_notice();
    }
  }
  /// Tries to READ or WRITE eight bytes of the other side's memory. @return how that ended
  ibv_wc_status reach(std::uint64_t address, std::uint32_t key, bool write) {
    const int posted =
        write
            ? rdma_post_write(id_, nullptr, outgoing(), 8, region_, IBV_SEND_SIGNALED, address, key)
            : rdma_post_read(id_, nullptr, outgoing(), 8, region_, IBV_SEND_SIGNALED, address, key);
    return posted == 0 ? wait_for_sent() : IBV_WC_GENERAL_ERR;
  }

 private:
  static constexpr std::size_t kReceives = 8, kBytes = 1024;

  static void check(int result, const char* what) {
    PACELINE_CHECK(result == 0, "{}: {}", what, std::strerror(errno));
  }
  std::byte* outgoing() { return &memory_[kReceives * kBytes]; }
  void post_receive(std::size_t index) {
    rdma_post_recv(id_, reinterpret_cast<void*>(index), &memory_[index * kBytes], kBytes, region_);
  }
  ibv_wc_status wait_for_sent() {
    ibv_wc done = {};
    return rdma_get_send_comp(id_, &done) == 1 ? done.status : IBV_WC_GENERAL_ERR;
  }
  void take_event() {
    rdma_cm_event* event = nullptr;
    if (rdma_get_cm_event(id_->channel, &event) != 0) return;
    closed_ = true;  // disconnected, or rejected after all
    rdma_ack_cm_event(event);
  }
  void take_notice() {
    ibv_cq* queue = nullptr;
    void* own = nullptr;
    if (ibv_get_cq_event(id_->recv_cq_channel, &queue, &own) == 0) ibv_ack_cq_events(queue, 1);
  }

  const std::unique_ptr<rdma_event_channel, decltype(&rdma_destroy_event_channel)> events_{
      rdma_create_event_channel(), rdma_destroy_event_channel};
  rdma_cm_id* id_ = nullptr;
  ibv_mr* region_ = nullptr;
  std::vector<std::byte> memory_ = std::vector<std::byte>((kReceives + 1) * kBytes);
  bool closed_ = false;
};

class Wire {
 public:
  Wire(const std::string& kind, const std::string& address) {
    if (kind == "verbs")
      end_ = std::make_unique<QueuePairEnd>(address);
    else
      end_ = std::make_unique<StreamEnd>(address);
  }

  WireEnd& end() const { return *end_; }
  void say(std::span<const std::byte> bytes) const { end_->say(bytes); }
  template <class F>
  void say(const F& frame) const {
    say(bytes_of(frame));
  }
  void say_no_more() const { end_->say_no_more(); }
  /// @return the next frame; nothing when the other side has closed, or what came is none
  std::optional<Frame> hear() const {
    const auto frame = parse_frame(end_->next());
    return frame ? std::optional(frame.value()) : std::nullopt;
  }
  /// Waits until the other side has closed. @return whether it has, in time
  bool is_closed() const {
    while (!end_->next().empty()) {
    }
    return !end_->late();
  }

 private:
  std::unique_ptr<WireEnd> end_;
};

}  // namespace paceline
