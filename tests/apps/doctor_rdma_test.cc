#include "paceline/apps/doctor_rdma.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace paceline {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

RdmaDevice card() {
  RdmaPort port{.active = true,
                .state = "active",
                .link_layer = "Ethernet",
                .mtu_bytes = 4096,
                .most_mtu_bytes = 4096,
                .gids = {{0, "fe80::1", "RoCE v2", "eth2"}, {1, "10.0.0.1", "RoCE v2", "eth2"}}};
  return {"mlx5_0", 1, {port}, {}};
}

Finding first(const RdmaDevice& device, const RdmaSurroundings& around = {}) {
  return rdma_findings(std::vector{device}, around).front();
}

TEST(DoctorRdma, APortThatIsReadyIsDescribed) {
  const Finding finding = first(card(), {.memory_nodes = {0, 1}});
  EXPECT_EQ(finding.mark, Mark::ok);
  EXPECT_EQ(finding.subject, "rdma mlx5_0/1");
  for (const char* part : {"active", "Ethernet", "MTU 4096 of 4096", "interface eth2",
                           "1 10.0.0.1 (RoCE v2)", "memory node 1"})
    EXPECT_THAT(finding.found, HasSubstr(part));
  EXPECT_THAT(finding.remedy, IsEmpty());
}

TEST(DoctorRdma, WithoutDevicesOneLineSaysSo) {
  const auto none = rdma_findings(std::vector<RdmaDevice>(), {});
  ASSERT_EQ(none.size(), 2u) << "and the limit on locked memory";
  EXPECT_EQ(none[0].mark, Mark::note);
  EXPECT_THAT(none[0].found, HasSubstr("over TCP"));
  EXPECT_THAT(none[0].remedy, HasSubstr("rdma link add"));
}

TEST(DoctorRdma, ADeviceThatOnlyTheKernelSeesLacksItsProvider) {
  const Finding finding =
      rdma_findings(std::vector<RdmaDevice>(), {.kernel_devices = {"mlx5_0"}}).front();
  EXPECT_EQ(finding.mark, Mark::warn);
  EXPECT_THAT(finding.found, HasSubstr("mlx5_0"));
  EXPECT_THAT(finding.remedy, HasSubstr("ibverbs-providers"));
}

TEST(DoctorRdma, ADeviceThatCannotBeOpenedNamesItsFile) {
  RdmaDevice device = card();
  device.ports.clear();
  device.error = fail(std::errc::permission_denied, "it cannot be opened");
  EXPECT_EQ(first(device).mark, Mark::warn);
  EXPECT_THAT(first(device).remedy, HasSubstr("/dev/infiniband/uverbs"));
}

TEST(DoctorRdma, APortThatIsDownIsBroughtUpByWhatItNeeds) {
  RdmaDevice device = card();
  device.ports[0].active = false;
  device.ports[0].state = "down";
  EXPECT_EQ(first(device).mark, Mark::warn);
  EXPECT_THAT(first(device).remedy, HasSubstr("ip link set eth2 up"));
  device.ports[0].gids.clear();
  EXPECT_THAT(first(device).remedy, HasSubstr("rdma link"));
  device.ports[0].link_layer = "InfiniBand";
  device.ports[0].state = "initialised";
  EXPECT_THAT(first(device).remedy, HasSubstr("opensm"));
}

TEST(DoctorRdma, MissingAddressesSmallPacketsAndFarProcessorsHaveRemediesOfTheirOwn) {
  RdmaDevice device = card();
  device.ports[0].gids.pop_back();
  EXPECT_EQ(first(device).mark, Mark::warn);
  EXPECT_THAT(first(device).remedy, HasSubstr("ip addr add ADDRESS/24 dev eth2"));

  device = card();
  device.ports[0].mtu_bytes = 1024;
  EXPECT_EQ(first(device).mark, Mark::note);
  EXPECT_THAT(first(device).remedy, HasSubstr("ip link set eth2 mtu 4200"));

  const Finding far = first(card(), {.memory_nodes = {0}});
  EXPECT_EQ(far.mark, Mark::warn);
  EXPECT_THAT(far.remedy, HasSubstr("numactl --cpunodebind=1"));
}

TEST(DoctorRdma, TheLimitOnLockedMemoryMattersOnlyToWhoIsBoundByItAndHasADevice) {
  const auto memlock = [](bool device, RdmaSurroundings around) {
    const auto devices = device ? std::vector{card()} : std::vector<RdmaDevice>();
    return rdma_findings(devices, around).back();
  };
  constexpr double kSmall = 8 << 20;
  EXPECT_EQ(memlock(true, {}).mark, Mark::ok);
  EXPECT_EQ(memlock(false, {.memlock_bytes = kSmall}).mark, Mark::note);
  const Finding bound = memlock(true, {.memlock_bytes = kSmall});
  EXPECT_EQ(bound.mark, Mark::warn);
  EXPECT_THAT(bound.found, HasSubstr("8.0 MiB"));
  EXPECT_THAT(bound.remedy, HasSubstr("ulimit -l unlimited"));
  EXPECT_EQ(memlock(true, {.memlock_bytes = kSmall, .above_limits = true}).mark, Mark::ok);
}

// Whatever this machine has, examining it works.
TEST(DoctorRdma, ThisMachineIsExamined) {
  const auto findings = rdma_findings(rdma_devices(), rdma_surroundings());
  ASSERT_GE(findings.size(), 2u);
  for (const Finding& finding : findings) EXPECT_FALSE(finding.found.empty()) << finding.subject;
}

}  // namespace
}  // namespace paceline
