#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "paceline/net/stream/frame_stream_internal.h"

namespace paceline {
namespace {

// How long one stream may go on before the others have their turn.
constexpr int kReadsAtATime = 32;
constexpr int kWritesAtATime = 16;

constexpr std::array<std::byte, 1 << 16> kZeros = {};

Error lost(int number, const char* what) {
  const std::error_code code(number, std::generic_category());
  return fail(std::errc::connection_reset, "{}: {}", what, code.message());
}

}  // namespace

FrameStream::FrameStream(Socket socket, Owner& owner)
    : socket_(std::move(socket)), owner_(&owner) {}

void FrameStream::start() { wait_to_read(); }

// ---- Incoming ----

void FrameStream::wait_to_read() {
  socket_.async_wait(Socket::wait_read, [self = shared_from_this()](const auto& error) {
    if (self->closed_) return;
    if (error) return self->end(fail(std::errc::connection_reset, "{}", error.message()));
    for (int turn = 0; turn < kReadsAtATime && !self->closed_; ++turn) {
      const auto more = self->read_some();
      if (self->closed_) return;
      if (!more) return self->end(more.error());
      if (self->ended_by_peer_)
        return self->end(self->payload_left_ != 0 || self->begin_ != self->end_
                             ? fail(std::errc::connection_reset, "closed within a frame")
                             : Error{});
      if (!more.value()) break;
    }
    if (!self->closed_) self->wait_to_read();
  });
}

/// @return whether there may be more at once
Result<bool> FrameStream::read_some() {
  if (payload_left_ > 0) {
    std::array<std::byte, 1 << 14> nowhere;
    std::span<std::byte> to = owner_->room(payload_left_);
    const bool wanted = !to.empty();
    if (!wanted) to = nowhere;
    to = to.first(std::min(to.size(), payload_left_));
    PACELINE_TRY(const std::size_t bytes, receive(to));
    payload_left_ -= bytes;
    if (wanted && bytes > 0) owner_->on_payload(to.first(bytes));
    return bytes > 0;
  }
  // take_buffered() leaves less than a frame, which the buffer has room for behind.
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  PACELINE_TRY(const std::size_t bytes, receive(std::span(buffer_).subspan(end_)));
  end_ += bytes;
  PACELINE_TRYV(take_buffered());
  return bytes > 0;
}

/// @return how many came; 0: none now, or ended_by_peer_
Result<std::size_t> FrameStream::receive(std::span<std::byte> to) {
  for (;;) {
    const ssize_t bytes = recv(socket_.native_handle(), to.data(), to.size(), MSG_DONTWAIT);
    if (bytes > 0) return static_cast<std::size_t>(bytes);
    if (bytes == 0) {
      ended_by_peer_ = true;
      return std::size_t{0};
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::size_t{0};
    if (errno != EINTR) return lost(errno, "cannot receive");
  }
}

Result<> FrameStream::take_buffered() {
  while (!closed_) {
    const auto buffered = std::span(buffer_).subspan(begin_, end_ - begin_);
    if (payload_left_ > 0) {
      if (buffered.empty()) return success();
      const std::size_t most = std::min(buffered.size(), payload_left_);
      std::span<std::byte> to = owner_->room(payload_left_);
      const std::size_t bytes = to.empty() ? most : std::min(most, to.size());
      if (!to.empty()) {
        std::memcpy(to.data(), buffered.data(), bytes);
        owner_->on_payload(to.first(bytes));
      }
      begin_ += bytes;
      payload_left_ -= bytes;
      continue;
    }
    if (buffered.size() < sizeof(FrameHead)) return success();
    PACELINE_TRY(const FrameHead head, parse_frame_head(buffered));
    if (buffered.size() < head.bytes) return success();
    PACELINE_TRY(const Frame frame, parse_frame(buffered.first(head.bytes)));
    begin_ += head.bytes;
    if (const auto* chunk = std::get_if<Chunk>(&frame)) payload_left_ = chunk->bytes;
    PACELINE_TRYV(owner_->on_frame(frame));
  }
  return success();
}

// ---- Outgoing ----

/// From the loop, not from here: what is said in one turn of it goes out in one call of the system.
void FrameStream::write_soon() {
  if (writing_ || closed_) return;
  writing_ = true;
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] { self->write_all(); });
}

void FrameStream::send_now(std::span<const std::byte> bytes) {
  // A handshake's few bytes: the socket's buffer is empty. When they do not fit, nobody listens.
  if (!closed_ && waiting_bytes() == 0)
    ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/// Takes what comes next, when all before has gone. @return whether there is anything
bool FrameStream::load() {
  if (front_sent_ < front_.size() || !chunk_.empty() || zeros_ > 0) return true;
  const auto next = owner_->next_chunk();
  front_.clear();
  front_sent_ = 0;
  std::swap(front_, waiting_);
  if (next) {
    const auto frame = bytes_of(next->frame);
    front_.insert(front_.end(), frame.begin(), frame.end());
    chunk_ = next->bytes;
  }
  return !front_.empty();
}

void FrameStream::write_all() {
  for (int turn = 0; !closed_; ++turn) {
    if (!load()) {
      writing_ = false;
      if (finishing_) shutdown(socket_.native_handle(), SHUT_WR);
      return;
    }
    if (turn == kWritesAtATime) break;  // the socket is still ready: the wait returns at once
    const auto zeros = std::span(kZeros).first(std::min(zeros_, kZeros.size()));
    const auto piece = [](std::span<const std::byte> bytes) {
      return iovec{const_cast<std::byte*>(bytes.data()), bytes.size()};
    };
    // What waits may go along, unless more zeros are to come before it.
    const std::span<const std::byte> behind =
        zeros_ > zeros.size() ? std::span<const std::byte>() : std::span(waiting_);
    iovec pieces[] = {piece(std::span(front_).subspan(front_sent_)), piece(chunk_), piece(zeros),
                      piece(behind)};
    msghdr message = {};
    message.msg_iov = pieces;
    message.msg_iovlen = std::size(pieces);
    const ssize_t bytes = sendmsg(socket_.native_handle(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (bytes >= 0) {
      sent(static_cast<std::size_t>(bytes));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) break;
    return end(lost(errno, "cannot send"));
  }
  if (closed_) return;
  socket_.async_wait(Socket::wait_write, [self = shared_from_this()](const auto& error) {
    if (self->closed_) return;
    if (error) return self->end(fail(std::errc::connection_reset, "{}", error.message()));
    self->write_all();
  });
}

void FrameStream::sent(std::size_t bytes) {
  const auto take = [&](std::size_t most) {
    const std::size_t taken = std::min(bytes, most);
    bytes -= taken;
    return taken;
  };
  front_sent_ += take(front_.size() - front_sent_);
  chunk_ = chunk_.subspan(take(chunk_.size()));
  zeros_ -= take(zeros_);
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(bytes));
}

void FrameStream::drop_chunk() { zeros_ += std::exchange(chunk_, {}).size(); }

void FrameStream::finish() {
  finishing_ = true;
  write_soon();
}

void FrameStream::close() {
  if (std::exchange(closed_, true)) return;
  chunk_ = {};
  boost::system::error_code ignored;
  socket_.close(ignored);
}

void FrameStream::end(const Error& error) {
  if (closed_) return;
  close();
  owner_->on_end(error);
}

}  // namespace paceline
