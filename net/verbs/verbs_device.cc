#include "paceline/net/verbs/verbs_device_internal.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "paceline/net/fabric.h"
#include "paceline/net/verbs/queue_pair_internal.h"

namespace paceline {
namespace {

constexpr std::uint64_t kReceive = std::uint64_t{1} << 63;  // in a wr_id: of a frame that arrives
constexpr std::size_t kNotes = 1024;                        // at a time
constexpr int kAtATime = 32;                                // completions
constexpr int kTurns = 16;                                  // of these, until others have theirs
constexpr std::uint32_t kSoftwareVendor = 0xffffff;         // rxe says this
constexpr std::chrono::nanoseconds kLongestSpin = std::chrono::microseconds(20);
constexpr std::chrono::nanoseconds kShortestSpin = std::chrono::microseconds(1);

Error cannot_register(int number, std::size_t bytes) {
  rlimit limit = {};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  const std::string allowed = limit.rlim_cur == RLIM_INFINITY
                                  ? "as much as it likes"
                                  : fmt::format("{} bytes", limit.rlim_cur);
  return fail_errno(
      number,
      "cannot register {} bytes for RDMA; this process may lock {}: raise it by ulimit "
      "-l unlimited, memlock in /etc/security/limits.conf or the service's "
      "LimitMEMLOCK=infinity",
      bytes, allowed);
}

bool has_one_cpu() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) <= 1;
}

}  // namespace

Result<std::unique_ptr<VerbsDevice>> VerbsDevice::open(Turns& turns, ibv_context* device,
                                                       const Arena& arena, std::uint32_t peers) {
  std::unique_ptr<VerbsDevice> opened(new VerbsDevice(turns, device, arena));
  PACELINE_TRYV(opened->set_up(peers));
  return opened;
}

VerbsDevice::~VerbsDevice() = default;

Result<> VerbsDevice::set_up(std::uint32_t peers) {
  const auto cannot = [&](const char* what) { return fail_errno(errno, "{} {}", what, name()); };
  ibv_device_attr able = {};
  if (const int error = ibv_query_device(device_, &able))
    return fail_errno(error, "cannot ask {}", name());
  reads_answered_ = static_cast<std::uint8_t>(std::clamp(able.max_qp_rd_atom, 1, 128));
  reads_asked_ = static_cast<std::uint8_t>(std::clamp(able.max_qp_init_rd_atom, 1, 128));
  ordered_ = able.vendor_id == kSoftwareVendor;
  domain_.reset(ibv_alloc_pd(device_));
  if (domain_ == nullptr) return cannot("no protection domain on");
  PACELINE_TRYV(add_region(arena_.memory_at_first(), std::nullopt));

  const std::uint32_t frames =
      std::min(peers * kCredits, static_cast<std::uint32_t>(std::max(1, able.max_srq_wr)));
  inbox_.resize(std::size_t{frames} * kMostFrameBytes);
  inbox_region_.reset(
      ibv_reg_mr(domain_.get(), inbox_.data(), inbox_.size(), IBV_ACCESS_LOCAL_WRITE));
  if (inbox_region_ == nullptr) return cannot_register(errno, inbox_.size());
  PACELINE_TRYV(add_notes());

  channel_.reset(ibv_create_comp_channel(device_));
  if (channel_ == nullptr) return cannot("no completion channel on");
  fcntl(channel_->fd, F_SETFL, fcntl(channel_->fd, F_GETFL) | O_NONBLOCK);
  const int entries = std::min<int>(static_cast<int>(frames + peers * kSends), able.max_cqe);
  for (auto* const queue : {&sent_, &arrived_}) {
    queue->reset(ibv_create_cq(device_, entries, nullptr, channel_.get(), 0));
    if (*queue == nullptr) return cannot("no completion queue on");
  }
  ibv_srq_init_attr shared = {};
  shared.attr.max_wr = frames;
  shared.attr.max_sge = 1;
  receives_.reset(ibv_create_srq(domain_.get(), &shared));
  if (receives_ == nullptr) return cannot("no shared receive queue on");
  for (std::uint32_t i = 0; i < frames; ++i) PACELINE_TRYV(post_receive(i));
  return success();
}

/// What lies on a device comes by its dma-buf; nothing gives one yet, and nobody has tried it.
Result<ibv_mr*> VerbsDevice::add_region(std::span<const std::byte> bytes,
                                        std::optional<DmaBuf> exported) {
  constexpr int kAccess = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ;
  auto* first = const_cast<std::byte*>(bytes.data());
  VerbsOwner<ibv_mr, ibv_dereg_mr> region(
      exported
          ? ibv_reg_dmabuf_mr(domain_.get(), exported->offset, bytes.size(),
                              reinterpret_cast<std::uint64_t>(first), exported->descriptor, kAccess)
          : ibv_reg_mr(domain_.get(), first, bytes.size(), kAccess));
  if (region == nullptr) return cannot_register(errno, bytes.size());
  regions_.push_back({bytes, std::move(region)});
  return regions_.back().owner.get();
}

Result<ibv_mr*> VerbsDevice::region_of(std::span<const std::byte> bytes) {
  const auto contains = [&](std::span<const std::byte> all) {
    return bytes.data() >= all.data() && bytes.data() + bytes.size() <= all.data() + all.size();
  };
  for (const Region& region : regions_)
    if (contains(region.bytes)) return region.owner.get();
  for (std::size_t i = 0; i < arena_.slots(); ++i)
    if (const auto later = arena_.memory_for_later(i); contains(later))
      return add_region(later, std::nullopt);
  return add_region(bytes, std::nullopt);
}

Result<> VerbsDevice::add_notes() {
  Notes& more = notes_.emplace_back();
  more.bytes.resize(kNotes * kNoteBytes);
  more.region.reset(
      ibv_reg_mr(domain_.get(), more.bytes.data(), more.bytes.size(), IBV_ACCESS_LOCAL_WRITE));
  if (more.region == nullptr) return cannot_register(errno, more.bytes.size());
  for (std::size_t i = kNotes; i-- > 0;)
    free_notes_.push_back({&more.bytes[i * kNoteBytes], more.region->lkey});
  return success();
}

VerbsDevice::Note VerbsDevice::take_note() {
  if (free_notes_.empty()) {
    const auto added = add_notes();
    PACELINE_CHECK(added, "{}", added.error().message);
  }
  const Note note = free_notes_.back();
  free_notes_.pop_back();
  return note;
}

Result<> VerbsDevice::post_receive(std::uint32_t index) {
  ibv_sge piece = {};
  piece.addr = reinterpret_cast<std::uint64_t>(&inbox_[std::size_t{index} * kMostFrameBytes]);
  piece.length = kMostFrameBytes;
  piece.lkey = inbox_region_->lkey;
  ibv_recv_wr work = {};
  work.wr_id = kReceive | index;
  work.sg_list = &piece;
  work.num_sge = 1;
  ibv_recv_wr* refused = nullptr;
  if (const int error = ibv_post_srq_recv(receives_.get(), &work, &refused))
    return fail_errno(error, "{} takes no receive", name());
  return success();
}

// ---- Completions ----

std::uint32_t VerbsDevice::remember(QueuePair& pair) {
  const std::uint32_t id = ++last_id_ & 0x7fffffff;
  pairs_[id] = &pair;
  pairs_by_number_[pair.number()] = &pair;
  return id;
}

void VerbsDevice::forget(std::uint32_t id, std::uint32_t number) {
  pairs_.erase(id);
  pairs_by_number_.erase(number);
  // Whatever it has left in the queue is there by now.
  const auto is_its = [&](const ibv_wc& each) {
    if ((each.wr_id & kReceive) == 0 || each.qp_num != number) return false;
    PACELINE_CHECK(post_receive(static_cast<std::uint32_t>(each.wr_id)), "a receive was lost");
    return true;
  };
  std::erase_if(set_aside_, is_its);
  ibv_wc completion;
  while (poll(&completion, 1) == 1)
    if (!is_its(completion)) set_aside_.push_back(completion);
}

bool VerbsDevice::take(const ibv_wc& completion) {
  if ((completion.wr_id & kReceive) == 0) {
    const auto found = pairs_.find(static_cast<std::uint32_t>(completion.wr_id >> 32));
    if (found != pairs_.end()) found->second->on_posted_done(completion);
    return true;
  }
  const auto index = static_cast<std::uint32_t>(completion.wr_id);
  std::array<std::byte, kMostFrameBytes> frame;
  std::memcpy(frame.data(), &inbox_[std::size_t{index} * kMostFrameBytes], frame.size());
  PACELINE_CHECK(post_receive(index), "a receive was lost");
  const auto found = pairs_by_number_.find(completion.qp_num);
  if (found == pairs_by_number_.end()) return true;
  if (completion.status == IBV_WC_SUCCESS)
    found->second->on_received(std::span(frame).first(completion.byte_len));
  else
    found->second->on_failed(completion);
  return true;
}

int VerbsDevice::poll(ibv_wc* into, int most) {
  int count = 0;
  for (ibv_cq* const queue : {sent_.get(), arrived_.get()}) {
    const int taken = ibv_poll_cq(queue, most - count, into + count);
    PACELINE_CHECK(taken >= 0, "{} gives no completions", name());
    count += taken;
    if (count == most) break;
  }
  return count;
}

void VerbsDevice::arm(ibv_cq& queue) {
  PACELINE_CHECK(ibv_req_notify_cq(&queue, 0) == 0, "no events from {}", name());
}

void VerbsDevice::look() {
  process();
  if (posted_ == 0 || is_armed_) return;
  is_armed_ = true;
  arm(*sent_);  // what comes from now on makes an event; what came before is taken here
  process();
}

void VerbsDevice::process() {
  for (int turn = 0; turn < kTurns; ++turn) {
    std::array<ibv_wc, kAtATime> some;
    std::size_t count = 0;
    while (count < some.size() && !set_aside_.empty()) {
      some[count++] = set_aside_.front();
      set_aside_.pop_front();
    }
    if (count == 0) {
      count = static_cast<std::size_t>(poll(some.data(), kAtATime));
    }
    if (count == 0) return;
    // One by one: a callback may forget a queue pair, whose receives must not reach another's.
    set_aside_.insert(set_aside_.begin(), some.begin() + 1,
                      some.begin() + static_cast<std::ptrdiff_t>(count));
    take(some[0]);
    while (!set_aside_.empty()) {
      const ibv_wc next = set_aside_.front();
      set_aside_.pop_front();
      take(next);
    }
  }
  turns_.post([] {});  // and at its end look()
}

void VerbsDevice::start() {
  channel_events_.assign(dup(channel_->fd));
  arm(*arrived_);
  spin_ = has_one_cpu() ? std::chrono::nanoseconds(0) : kShortestSpin;
  process();
  wait();
}

void VerbsDevice::wait() {
  channel_events_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                             turns_.handler([this](const auto& error) {
                               if (error) return;
                               look_again();
                               wait();
                             }));
}

void VerbsDevice::look_again() {
  ibv_cq* queue = nullptr;
  void* own = nullptr;
  if (ibv_get_cq_event(channel_.get(), &queue, &own) != 0) return;
  ibv_ack_cq_events(queue, 1);
  // One of each at most: a queue is told to make one when the last has been taken. Another one makes
  // the channel readable still.
  if (queue == sent_.get()) is_armed_ = false;
  process();
  if (spin_.count() > 0) {
    const auto end = FabricClock::now() + spin_;
    bool found = false;
    while (!found && FabricClock::now() < end) {
      ibv_wc completion;
      if (poll(&completion, 1) == 1) {
        set_aside_.push_back(completion);
        found = true;
      }
    }
    spin_ = found ? std::min(kLongestSpin, spin_ * 2) : std::max(kShortestSpin, spin_ / 2);
  }
  // What comes from now on makes an event; what came before is taken here.
  if (queue == arrived_.get()) {
    arm(*arrived_);
    process();
  }
}

}  // namespace paceline
