#include "paceline/apps/doctor_gpu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace paceline {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kDriver = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15";

BackendStatus absent(std::string reason) {
  return {"cuda", false,
          "no usable backend \"cuda\": looked for libpaceline_cuda.so beside the program, in its "
          "../lib and on the library path" +
              reason,
          make_error_code(std::errc::no_such_file_or_directory)};
}
BackendStatus refused(const std::string& reason) {
  return {"cuda", false, "backend \"cuda\" cannot be used: " + reason,
          make_error_code(std::errc::no_such_device)};
}
const std::string kNotThere =
    "; /opt/bin/libpaceline_cuda.so: cannot open shared object file: No such file or directory"
    "; libpaceline_cuda.so: cannot open shared object file: No such file or directory";

TEST(DoctorGpu, AUsableOneIsDescribed) {
  const Finding finding =
      gpu_finding({"cuda", true, "CUDA: a GPU, f32", {}}, {.built = true, .driver = kDriver});
  EXPECT_EQ(finding.mark, Mark::ok);
  EXPECT_EQ(finding.found, "CUDA: a GPU, f32");
  EXPECT_THAT(finding.remedy, IsEmpty());
}

TEST(DoctorGpu, ABuildWithoutTheBackendSaysHowToBuildIt) {
  for (const char* driver : {"", kDriver}) {
    const Finding finding = gpu_finding(absent(kNotThere), {.driver = driver});
    EXPECT_EQ(finding.mark, Mark::note);
    EXPECT_THAT(finding.found, HasSubstr("this build is without CUDA"));
    EXPECT_THAT(finding.remedy, HasSubstr("-DPACELINE_WITH_CUDA=ON"));
  }
}

TEST(DoctorGpu, ASharedObjectThatIsGoneIsMissed) {
  const Finding finding = gpu_finding(absent(kNotThere), {.built = true, .driver = kDriver});
  EXPECT_EQ(finding.mark, Mark::warn);
  EXPECT_EQ(finding.found, "libpaceline_cuda.so is not found");
  EXPECT_THAT(finding.remedy, HasSubstr("beside the program"));
}

TEST(DoctorGpu, ALibraryThatItNeedsIsNamed) {
  const Finding finding =
      gpu_finding(absent("; libcudnn.so.9: cannot open shared object file: No such file or "
                         "directory" +
                         kNotThere),
                  {.built = true, .driver = kDriver});
  EXPECT_EQ(finding.found, "the GPU backend needs libcudnn.so.9, which is not found");
  EXPECT_THAT(finding.remedy, HasSubstr("LD_LIBRARY_PATH"));
}

TEST(DoctorGpu, OneOfAnotherBuildIsToldFromOneThatIsGone) {
  const Finding finding = gpu_finding(
      absent("; /opt/bin/libpaceline_cuda.so: undefined symbol: _ZN8paceline3xyzE" + kNotThere),
      {.built = true});
  EXPECT_EQ(finding.mark, Mark::note);
  EXPECT_THAT(finding.found, HasSubstr("undefined symbol"));
  EXPECT_THAT(finding.remedy, HasSubstr("of the same build"));
}

TEST(DoctorGpu, NoDriverAnOldDriverHiddenGpusAndNoneHaveRemediesOfTheirOwn) {
  const Finding none = gpu_finding(refused("no CUDA-capable device is detected"), {.built = true});
  EXPECT_EQ(none.mark, Mark::note);
  EXPECT_THAT(none.found, HasSubstr("no NVIDIA driver is loaded"));
  EXPECT_THAT(none.remedy, HasSubstr("--gpus all"));

  const Finding old =
      gpu_finding(refused("CUDA driver version is insufficient for CUDA runtime version"),
                  {.built = true, .driver = kDriver});
  EXPECT_EQ(old.mark, Mark::warn);
  EXPECT_THAT(old.found, HasSubstr(kDriver));
  EXPECT_THAT(old.remedy, HasSubstr("new enough"));

  const Finding hidden =
      gpu_finding(refused("no CUDA-capable device is detected"),
                  {.built = true, .driver = kDriver, .visible = "CUDA_VISIBLE_DEVICES="});
  EXPECT_THAT(hidden.remedy, HasSubstr("unset CUDA_VISIBLE_DEVICES"));

  const Finding unseen = gpu_finding(refused("no CUDA-capable device is detected"),
                                     {.built = true, .driver = kDriver});
  EXPECT_THAT(unseen.found, HasSubstr("no CUDA-capable device"));
  EXPECT_THAT(unseen.remedy, HasSubstr("nvidia-smi"));
}

}  // namespace
}  // namespace paceline
