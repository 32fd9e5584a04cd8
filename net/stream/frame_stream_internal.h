// Frames over a connected socket, TCP's or a local one. Private to net/. Threading: the I/O thread.
//   FS-1 Between two waits for readiness no operation of the kernel refers to anybody's memory: a
//        loan or a pin may go at any moment, and what is left of a chunk is thrown away, or sent as
//        zeros, in its place.
//   FS-2 Chunks are written from where the owner says that they lie, and read to where it says that
//        they shall lie: nothing is copied between, but what arrived in one piece with a frame, or fits into one.
//   FS-3 Frames go out in the order of send(); a chunk goes between two frames when nothing else
//        waits, so that no letter waits for more than one chunk.
//   FS-4 on_end() comes once, not from within a call of the owner's; nothing comes after it.
#pragma once

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "paceline/net/frames.h"

namespace paceline {

class FrameStream : public std::enable_shared_from_this<FrameStream> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  struct OutgoingChunk {
    Chunk frame;
    std::span<const std::byte>
        bytes;  ///< stays until drop_chunk(), or next_chunk() is called again
  };

  class Owner {
   public:
    /// @return an error to end the stream by
    virtual Result<> on_frame(const Frame& frame) = 0;
    /// A chunk's payload comes next, or goes on. @return where to, at least a byte and at most
    /// `left`; nothing: it shall be thrown away
    virtual std::span<std::byte> room(std::size_t left) = 0;
    /// What came of it, which lies where room() has said.
    virtual void on_payload(std::span<const std::byte> bytes) = 0;
    /// The chunk before has gone. What is sent from within goes before the next one.
    virtual std::optional<OutgoingChunk> next_chunk() = 0;
    /// @param error  empty when the other side has closed in order between two frames
    virtual void on_end(const Error& error) = 0;

   protected:
    ~Owner() = default;
  };

  /// @param owner  outlives the stream, or calls close() before
  FrameStream(Socket socket, Owner& owner);
  void start();

  template <class F>
  void send(const F& frame) {
    send_bytes(bytes_of(frame));
  }
  void send_bytes(std::span<const std::byte> frame) {
    waiting_.insert(waiting_.end(), frame.begin(), frame.end());
    write_soon();
  }
  /// A chunk whose few bytes are copied, in its order between the frames.
  void send(const Chunk& frame, std::span<const std::byte> bytes) {
    send(frame);
    waiting_.insert(waiting_.end(), bytes.begin(), bytes.end());
  }
  /// At once, as far as the kernel takes it: close() may follow.
  void send_now(std::span<const std::byte> frame);
  /// next_chunk() has something now.
  void chunks_ready() { write_soon(); }
  /// What next_chunk() gave must not be read any more.
  void drop_chunk();
  std::size_t waiting_bytes() const { return waiting_.size() + front_.size() - front_sent_; }

  /// Sends what waits, chunks as well, then says that no more comes.
  void finish();
  /// At once, and without a call of the owner.
  void close();
  bool closed() const { return closed_; }

 private:
  void wait_to_read();
  Result<bool> read_some();
  Result<std::size_t> receive(std::span<std::byte> to);
  Result<> take_buffered();
  void write_soon();
  void write_all();
  bool load();
  void sent(std::size_t bytes);
  void end(const Error& error);

  Socket socket_;
  Owner* owner_;
  bool closed_ = false;

  // Incoming.
  std::array<std::byte, 4096> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // of buffer_, received and not yet used
  std::size_t payload_left_ = 0;     // of the chunk that arrives
  bool ended_by_peer_ = false;

  // Outgoing, in this order; then the next chunk, or what waits.
  std::vector<std::byte> front_;
  std::size_t front_sent_ = 0;
  std::span<const std::byte> chunk_;
  std::size_t zeros_ = 0;  // in the place of a chunk that was dropped
  std::vector<std::byte> waiting_;
  bool writing_ = false, finishing_ = false;
};

}  // namespace paceline
