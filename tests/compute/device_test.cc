// open_device() with what is linked in, with real shared objects, and with what is not there.
#include "paceline/compute/device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compute/small_program.h"

namespace paceline::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string refusal(std::string_view name, DeviceOptions options = {}) {
  const auto device = open_device(name, options);
  return device ? "opened" : device.error().message;
}

TEST(OpenDevice, HasTheCpuAndTheReferenceLinkedIn) {
  const auto cpu = open_device("cpu", {.threads = 2}).value();
  EXPECT_THAT(cpu->description(),
              AllOf(HasSubstr("CPU: "), HasSubstr("oneDNN 2."), HasSubstr("2 threads")));
  EXPECT_THAT(open_device("reference", {}).value()->description(), HasSubstr("reference"));
}

TEST(OpenDevice, OpensASharedObjectBesideTheProgram) {
  const auto device = open_device("borrowing", {});
  ASSERT_TRUE(device.has_value()) << device.error().message;
  const Program program = chain({2, 1, 1}, {{Linear{}, 3}});
  const auto executable = device.value()->compile(program, {.batch = 1}).value();
  const std::vector<float> x(program.parameter_elements, 0.0f);
  const OwnedBatch batch{{1.0f, 1.0f}, {1}};
  EXPECT_EQ(executable->evaluate({x.data(), x.size()}, {}, batch.view()).errors, 1u);
}

TEST(OpenDevice, PassesOnWhyABackendCannotBeUsed) {
  EXPECT_EQ(refusal("refusing", {.threads = 3}),
            "backend \"refusing\" cannot be used: this machine has no device for 3 threads");
}

TEST(OpenDevice, RefusesASharedObjectThatIsNoBackend) {
  EXPECT_THAT(refusal("empty"), AllOf(HasSubstr("\"empty\" is not one of paceline's"),
                                      HasSubstr("paceline_open_device")));
}

TEST(OpenDevice, SaysWhatItLookedForAndWhatTheLoaderSaid) {
  EXPECT_THAT(refusal("missing"),
              AllOf(HasSubstr("looked for libpaceline_missing.so beside the program"),
                    HasSubstr("cannot open shared object file")));
}

TEST(OpenDevice, TakesNoPathsForNames) {
  for (const char* name : {"", "../x", "a/b", "CPU", "x.so"})
    EXPECT_THAT(refusal(name), HasSubstr("is no backend's name"));
}

TEST(OpenDevice, TheCpuAndTheReferenceRefuseAllButF32) {
  for (const char* name : {"cpu", "reference"})
    for (const Precision precision : {Precision::tf32, Precision::bf16}) {
      const auto device = open_device(name, {.precision = precision});
      ASSERT_FALSE(device.has_value());
      EXPECT_EQ(device.error().code, std::errc::invalid_argument);
      EXPECT_EQ(device.error().message,
                fmt::format("--precision {}: the device {} computes in f32 alone: leave it out, or "
                            "give a GPU (--device cuda)",
                            name_of(precision), name));
    }
}

TEST(Device, SaysWhereItCannotTellItsLimits) {
  const auto reference = open_device("reference", {}).value()->limits();
  ASSERT_FALSE(reference.has_value());
  EXPECT_EQ(reference.error().code, std::errc::not_supported);
}

TEST(OpenDevice, NeedsAThread) {
  EXPECT_THAT(refusal("cpu", {.threads = 0}), HasSubstr("at least one thread"));
}

TEST(Backends, AreListedWithTheirReasons) {
  const std::vector<BackendStatus> all = backends();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].name, "cpu");
  EXPECT_TRUE(all[0].usable);
  EXPECT_EQ(all[1].name, "reference");
  EXPECT_TRUE(all[1].usable);
  EXPECT_EQ(all[2].name, "cuda");
  for (const BackendStatus& status : all) {
    EXPECT_FALSE(status.detail.empty());
    EXPECT_EQ(!status.code, status.usable);
  }
}

TEST(DeviceMemory, IsAlignedAndZero) {
  for (const char* name : {"cpu", "reference"}) {
    const auto device = open_device(name, {}).value();
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}}) {
      const auto memory = device->allocate(bytes).value();
      EXPECT_EQ(memory->bytes(), bytes);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory->data()) % 64, 0u);
      const std::byte* const first = static_cast<const std::byte*>(memory->data());
      EXPECT_TRUE(std::all_of(first, first + bytes, [](std::byte b) { return b == std::byte{0}; }));
    }
  }
}

TEST(DeviceMemory, SaysHowMuchCouldNotBeHad) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers end the program instead of returning null";
#endif
  const auto memory = open_device("cpu", {}).value()->allocate(std::size_t{1} << 62);
  ASSERT_FALSE(memory.has_value());
  EXPECT_THAT(memory.error().message, HasSubstr("4611686018427387904 bytes"));
}

}  // namespace
}  // namespace paceline::test
