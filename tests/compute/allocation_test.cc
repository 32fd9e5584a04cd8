// Counts what a training step allocates, by standing in for operator new and the C library's
// allocation functions. A program of its own, since that concerns the whole process.
//
// Our code allocates nothing. oneDNN 2.6 does, whatever its caller does: dnnl_primitive_execute()
// copies its arguments into a hash map (some hundred bytes a primitive), and its gemm, which runs
// the linear layers, takes a packing buffer of some hundred KiB (all other scratchpads lie in the
// arena). So what comes from libdnnl is told apart by the caller's address, and printed.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <new>
#include <string_view>

#include "compute/small_program.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

TEST(TrainStep, AllocatesNothing) { GTEST_SKIP() << "sanitizers own the allocation functions"; }

#else

namespace {

struct Allocation {
  void* caller;
  std::size_t bytes;
};
std::array<Allocation, 4096> recorded;
std::size_t recorded_count = 0;
bool recording = false;

void record(void* caller, std::size_t bytes) {
  if (recording && recorded_count < recorded.size()) recorded[recorded_count++] = {caller, bytes};
}

}  // namespace

extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);
void __libc_free(void* data);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) {
  record(__builtin_return_address(0), bytes);
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
  record(__builtin_return_address(0), count * bytes);
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) {
  record(__builtin_return_address(0), bytes);
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  record(__builtin_return_address(0), bytes);
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t bytes) {
  record(__builtin_return_address(0), bytes);
  *result = __libc_memalign(alignment, bytes);
  return *result != nullptr ? 0 : 12;
}
}
void* operator new(std::size_t bytes) {
  record(__builtin_return_address(0), bytes);
  return __libc_malloc(bytes);
}
void* operator new[](std::size_t bytes) {
  record(__builtin_return_address(0), bytes);
  return __libc_malloc(bytes);
}
void operator delete(void* data) noexcept { __libc_free(data); }
void operator delete[](void* data) noexcept { __libc_free(data); }
void operator delete(void* data, std::size_t) noexcept { __libc_free(data); }
void operator delete[](void* data, std::size_t) noexcept { __libc_free(data); }

namespace paceline::test {
namespace {

bool from_onednn(const Allocation& allocation) {
  Dl_info info{};
  return dladdr(allocation.caller, &info) != 0 && info.dli_fname != nullptr &&
         std::string_view(info.dli_fname).find("libdnnl") != std::string_view::npos;
}

/// BatchNorm, both additions, option A, pools, dropout and label smoothing.
Program residual_net() {
  ProgramSketch sketch({3, 16, 16});
  const std::size_t x = sketch.apply_all(
      {{Convolution{3, 1, 1, false}, 16}, {BatchNorm{}}, {Relu{}}, {MaxPool{3, 2, 1}}}, 0);
  const std::size_t y = sketch.apply_all({{Convolution{3, 1, 1, false}, 16}, {BatchNorm{}}}, x);
  const std::size_t z = sketch.apply({Relu{}}, sketch.add(y, x));
  const std::size_t w = sketch.apply_all({{Convolution{3, 2, 1, false}, 32}, {BatchNorm{}}}, z);
  sketch.add(w, sketch.apply({PaddedShortcut{2}, 32}, z));
  sketch.apply_all(
      {{Relu{}}, {AveragePool{2, 2}}, {GlobalAveragePool{}}, {Dropout{0.5}}, {Linear{}, 5}},
      sketch.last());
  return sketch.finish({0.1});
}

class TrainStep : public testing::TestWithParam<std::pair<const char*, const char*> > {};
INSTANTIATE_TEST_SUITE_P(Networks, TrainStep,
                         testing::Values(std::pair{"cnn7", ""}, std::pair{"residual", ""},
                                         std::pair{"residual", "mirrored"}),
                         [](const auto& row) {
                           return std::string(row.param.first) + row.param.second;
                         });

TEST_P(TrainStep, AllocatesNothing) {
  const Program program = std::string_view(GetParam().first) == "cnn7" ? cnn7() : residual_net();
  const auto device = open_device("cpu", {.convolution = GetParam().second}).value();
  const auto executable = device->compile(program, {.batch = 16}).value();
  std::vector<float> buffers = random_buffers(program, 1);
  std::vector<float> x = random_parameters(program, 1), m(x.size()), g(x.size());
  const std::vector<float> z = random_parameters(program, 2);
  const OwnedBatch batch = random_batch(program, 16, 1);
  const Pull pulls[] = {{{z.data(), z.size()}, 0.1}};
  const auto step = [&] {
    executable->train_step({x.data(), x.size()}, view(buffers), {g.data(), g.size()}, batch.view(),
                           1);
    device->math().update({}, {x.data(), x.size()}, {m.data(), m.size()}, {g.data(), g.size()},
                          pulls);
  };
  recorded_count = 0;
  recording = true;
  ::operator delete(::operator new(64));
  std::free(std::malloc(64));
  recording = false;
  ASSERT_EQ(recorded_count, 2u) << "what is counted";
  recorded_count = 0;

  step();  // what a library sets up on its first call is no step's affair
  recording = true;
  step();
  recording = false;

  std::size_t onednn = 0, onednn_bytes = 0;
  for (std::size_t k = 0; k < recorded_count; ++k) {
    const Allocation& allocation = recorded[k];
    if (from_onednn(allocation)) {
      ++onednn;
      onednn_bytes += allocation.bytes;
    } else {
      Dl_info info{};
      dladdr(allocation.caller, &info);
      ADD_FAILURE() << allocation.bytes << " bytes from " << info.dli_fname << " "
                    << (info.dli_sname != nullptr ? info.dli_sname : "");
    }
  }
  ASSERT_LT(recorded_count, recorded.size());
  std::printf("oneDNN's own bookkeeping: %zu allocations, %zu bytes\n", onednn, onednn_bytes);
}

}  // namespace
}  // namespace paceline::test

#endif
