#include "paceline/net/verbs/verbs_fabric.h"

#include <optional>
#include <utility>

#include "paceline/net/verbs/verbs_door_internal.h"

namespace paceline {
namespace {

class VerbsFabricImpl final : public Fabric {
 public:
  VerbsFabricImpl(const Arena& arena, FabricOptions options)
      : hub_(arena, std::move(options), hooks()), door_(hub_) {}
  ~VerbsFabricImpl() override { hub_.stop(); }  // it shuts the door

  Result<> listen() {
    const std::string& wanted = hub_.options().listen;
    const auto here = rdma_addresses();
    if (wanted.empty() && here.empty())
      return fail(
          std::errc::no_such_device,
          "no RDMA device with an active RoCE port and an IPv4 address (`rdma link`, "
          "`ibv_devinfo`): bring one up (`ip link set … up`, `ip address add …`), or use TCP");
    PACELINE_TRY(const InetEndpoint where,
                 endpoint_to_listen_at(wanted.empty() ? here.front().address + ":0" : wanted));
    PACELINE_TRYV(door_.listen(where));
    if (!wanted.empty() && !where.address().is_unspecified()) from_ = where;
    address_ = in_words(door_.local_endpoint());
    return success();
  }

  const std::string& address() const override { return address_; }

  Result<PeerId> connect(const std::string& address, Deadline deadline) override {
    PACELINE_TRY(const InetEndpoint to, resolve(hub_.context(), address, deadline));
    return door_.connect(from_ ? &*from_ : nullptr, to, address, deadline);
  }

  Result<RemoteSlot> announce(std::uint32_t slot, Deadline deadline) override {
    return hub_.announce(slot, deadline);
  }

  void read(PeerId peer, const RemoteSlot& from, Loan loan, Deadline deadline,
            ReadDone done) override {
    hub_.read(peer, from, std::move(loan), deadline, std::move(done));
  }

  void send(PeerId peer, std::uint32_t mailbox, const Letter& letter, Deadline deadline,
            SendDone done) override {
    hub_.send(peer, mailbox, letter, deadline, std::move(done));
  }

  void begin_here(const std::function<void()>& ask) override { hub_.begin_here(ask); }

  Result<> drain(Deadline deadline) override { return hub_.drain(deadline); }

 private:
  Hub::Hooks hooks() {
    Hub::Hooks hooks;
    hooks.shut_door = [this] { door_.shut(); };
    hooks.look = [this] { door_.look(); };
    return hooks;
  }

  std::string address_;
  std::optional<InetEndpoint> from_;
  Hub hub_;
  VerbsDoor door_;
};

}  // namespace

Result<std::unique_ptr<Fabric>> VerbsFabric::open(const Arena& arena, FabricOptions options) {
  auto fabric = std::make_unique<VerbsFabricImpl>(arena, std::move(options));
  PACELINE_TRYV(fabric->listen());
  return std::unique_ptr<Fabric>(std::move(fabric));
}

}  // namespace paceline
