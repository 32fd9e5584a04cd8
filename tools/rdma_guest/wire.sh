# Sourced in the guest. `wire rxe` (or siw) makes two RDMA devices, a0 at 10.9.0.1 and b0 at 10.9.0.2, on the two ends of a
# pair of interfaces. Soft devices of two network namespaces do not reach each other, so both ends lie in one, where the
# kernel would deliver what one sends to the other at once: rules make every packet cross the pair.
wire() {
  local i
  ip link set lo up
  # rxe has no flow control: a READ of 64 MiB would overflow the default of 1000 and never end.
  echo 100000 >/proc/sys/net/core/netdev_max_backlog
  ip link add v0 type veth peer name v1
  for i in v0 v1; do ip link set $i mtu 4200; done # room for packets of 4096 bytes
  ip addr add 10.9.0.1/32 dev v0
  ip addr add 10.9.0.2/32 dev v1
  for i in v0 v1; do ip link set $i up; done
  for i in all v0 v1; do
    echo 0 >/proc/sys/net/ipv4/conf/$i/rp_filter
    echo 1 >/proc/sys/net/ipv4/conf/$i/accept_local
  done
  ip rule add pref 5 iif v0 lookup local # what arrives by the wire is delivered
  ip rule add pref 6 iif v1 lookup local
  ip rule add pref 7 from 10.9.0.1 to 10.9.0.2 lookup 101 # what starts here goes out
  ip rule add pref 8 from 10.9.0.2 to 10.9.0.1 lookup 102
  ip rule add pref 9 lookup local
  ip rule del pref 0
  wire_routes
  rdma link add a0 type "$1" netdev v0 && rdma link add b0 type "$1" netdev v1 || return 1
  [[ $1 == siw ]] || { gid_wait a0 10.9.0.1 && gid_wait b0 10.9.0.2; }
}

# What an interface loses when it goes down.
wire_routes() {
  ip route replace 10.9.0.2 dev v0 src 10.9.0.1 table 101
  ip route replace 10.9.0.1 dev v1 src 10.9.0.2 table 102
  ip neigh replace 10.9.0.2 lladdr "$(cat /sys/class/net/v1/address)" dev v0 nud permanent
  ip neigh replace 10.9.0.1 lladdr "$(cat /sys/class/net/v0/address)" dev v1 nud permanent
}

gid_wait() {
  local i
  for i in {1..50}; do
    ibv_devinfo -v -d "$1" 2>/dev/null | grep -q "GID.*$2" && return 0
    sleep 0.1
  done
  return 1
}
