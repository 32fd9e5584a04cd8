// CnnEngine on a device whose executables note what is asked of them and let the host prepare the
// next batch in the middle of a step.
#include "paceline/actors/cnn_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>

#include "compute/small_program.h"
#include "paceline/layers/input/synthetic.h"

namespace paceline {
namespace {

using testing::ElementsAre;
using Calls = std::vector<std::string>;

/// A batch of its own memory.
class Copy {
 public:
  explicit Copy(const Batch& batch)
      : images_(batch.images.begin(), batch.images.end()),
        labels_(batch.labels.begin(), batch.labels.end()) {
    if (batch.raw == nullptr) return;
    bytes_.assign(batch.raw->images.begin(), batch.raw->images.end());
    cuts_.assign(batch.raw->cuts.begin(), batch.raw->cuts.end());
    raw_ = *batch.raw;  // scale and shift are the stream's, and stay
    raw_->images = bytes_;
    raw_->cuts = cuts_;
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  Batch view() const { return {images_, labels_, raw_ ? &*raw_ : nullptr}; }

 private:
  std::vector<float> images_;
  std::vector<std::uint8_t> bytes_;
  std::vector<Cut> cuts_;
  std::vector<std::int32_t> labels_;
  std::optional<RawBatch> raw_;
};

struct Manner {
  bool raw = false, meanwhile = false;
};

/// The reference's, which computes a batch that was staged from its copy, after the host's work.
class NotingExecutable final : public Executable {
 public:
  NotingExecutable(std::unique_ptr<Executable> inner, Manner manner, Calls& calls)
      : inner_(std::move(inner)), manner_(manner), calls_(calls) {}
  bool takes_raw() const override { return manner_.raw; }
  bool has_meanwhile() const override { return manner_.meanwhile; }
  void meanwhile(std::function<void()> work) override { work_ = std::move(work); }
  void stage(const Batch& batch) override {
    calls_.emplace_back("stage");
    EXPECT_TRUE(manner_.meanwhile);
    staged_ = std::make_unique<Copy>(batch);
  }
  double train_step(ConstVector x, Vector buffers, Vector g, const Batch& batch,
                    std::uint64_t seed) override {
    calls_.emplace_back("train");
    EXPECT_EQ(batch.raw != nullptr, manner_.raw);
    if (!manner_.meanwhile) return inner_->train_step(x, buffers, g, batch, seed);
    EXPECT_NE(staged_, nullptr);
    const auto current = std::exchange(staged_, nullptr);
    if (const auto work = std::exchange(work_, nullptr)) work();
    calls_.emplace_back("end");
    return inner_->train_step(x, buffers, g, current->view(), seed);
  }
  bool updates() const override { return true; }
  double train_and_update(const Sgd& sgd, Vector x, Vector momentum, Vector buffers, Vector g,
                          const Batch& batch, std::uint64_t seed) override {
    const double loss = train_step(x, buffers, g, batch, seed);
    calls_.emplace_back("update");
    vector_math_f32().update(sgd, x, momentum, g, {});
    return loss;
  }
  Evaluation evaluate(ConstVector x, ConstVector buffers, const Batch& batch) override {
    return inner_->evaluate(x, buffers, batch);
  }
  void estimate_buffers(ConstVector x, Vector buffers, const Batch& batch, double share) override {
    inner_->estimate_buffers(x, buffers, batch, share);
  }
  std::span<const float> logits() override { return inner_->logits(); }
  std::size_t activation_bytes() const override { return inner_->activation_bytes(); }

 private:
  const std::unique_ptr<Executable> inner_;
  const Manner manner_;
  Calls& calls_;
  std::function<void()> work_;
  std::unique_ptr<Copy> staged_;
};

class NotingDevice final : public Device {
 public:
  explicit NotingDevice(Manner manner) : manner_(manner) {}
  std::string description() const override { return "notes what is asked of it"; }
  const VectorMath& math() const override { return inner_->math(); }
  Result<std::unique_ptr<DeviceMemory>> allocate(std::size_t bytes) override {
    return inner_->allocate(bytes);
  }
  Result<std::unique_ptr<Executable>> compile(const Program& program,
                                              const CompileOptions& options) override {
    PACELINE_TRY(auto executable, inner_->compile(program, options));
    return std::make_unique<NotingExecutable>(std::move(executable), manner_, calls);
  }
  Calls calls;

 private:
  const std::unique_ptr<Device> inner_ = open_device("reference", {}).value();
  const Manner manner_;
};

constexpr Shape kImage{3, 8, 8};
constexpr std::size_t kBatch = 6;

/// An engine and the plainest optimiser.
class Rider {
 public:
  explicit Rider(Manner manner) : device_(manner) {
    engine_ =
        CnnEngine::create(device_, program_, {.batch = kBatch}, test::random_buffers(program_, 3),
                          data_, {.batch = kBatch, .image = kImage, .seed = 5})
            .value();
  }
  /// @return the loss
  double step() {
    const double loss = engine_->gradient(test::view(std::as_const(x_)), test::view(g_), rng_);
    for (std::size_t i = 0; i < x_.size(); ++i) x_[i] -= 0.05F * g_[i];
    return loss;
  }
  /// The same by the engine itself.
  double step_and_update() {
    EXPECT_TRUE(engine_->updates());
    return engine_->step({.learning_rate = 0.05, .weight_decay = 0, .form = Momentum::none},
                         test::view(x_), {}, test::view(g_), rng_);
  }
  std::vector<double> steps(int count) {
    std::vector<double> losses;
    for (int k = 0; k < count; ++k) losses.push_back(step());
    return losses;
  }
  /// Goes on where another one is.
  void follow(const Rider& other) {
    x_ = other.x_;
    rng_ = other.rng_;
    engine_->restore(other.engine_->stream(), other.engine_->buffers());
  }
  CnnEngine& engine() { return *engine_; }
  const std::vector<float>& x() const { return x_; }
  std::vector<float> buffers() const {
    const ConstVector b = engine_->buffers();
    return {static_cast<const float*>(b.data), static_cast<const float*>(b.data) + b.count};
  }
  Calls& calls() { return device_.calls; }

 private:
  const Data data_ = make_synthetic({.train = 20, .test = 1});  // several epochs in a test
  const Program program_ =
      test::chain(kImage, {{Convolution{}, 4}, {BatchNorm{}}, {Relu{}}, {Linear{}, 10}});
  NotingDevice device_;
  std::unique_ptr<CnnEngine> engine_;
  std::vector<float> x_ = test::random_parameters(program_, 2),
                     g_ = std::vector<float>(program_.parameter_elements);
  Rng rng_{11};
};

TEST(CnnEngine, RawAndStagedBatchesGiveThePlainPathsBits) {  // CE-1
  Rider plain({});
  const std::vector<double> losses = plain.steps(12);
  for (const Manner manner : {Manner{.raw = true}, Manner{.meanwhile = true}, Manner{true, true}}) {
    SCOPED_TRACE(fmt::format("raw {}, meanwhile {}", manner.raw, manner.meanwhile));
    Rider rider(manner);
    EXPECT_EQ(rider.steps(12), losses);
    EXPECT_EQ(rider.x(), plain.x());
    EXPECT_EQ(rider.buffers(), plain.buffers());
  }
}

TEST(CnnEngine, TheNextBatchIsStagedInTheMiddleOfAStep) {  // CE-1
  Rider rider({.raw = true, .meanwhile = true});
  rider.steps(3);
  EXPECT_THAT(rider.calls(), ElementsAre("stage", "train", "stage", "end", "train", "stage", "end",
                                         "train", "stage", "end"));
}

TEST(CnnEngine, AStepWithItsUpdateIsFedAsOneWithout) {  // CE-1
  Rider plain({}), rider({.raw = true, .meanwhile = true});
  for (int k = 0; k < 9; ++k) {
    const double loss = plain.step();
    EXPECT_EQ(k % 3 == 1 ? rider.step() : rider.step_and_update(), loss) << k;
    EXPECT_EQ(rider.x(), plain.x()) << k;
  }
  EXPECT_EQ(rider.buffers(), plain.buffers());
  EXPECT_THAT(
      Calls(rider.calls().begin(), rider.calls().begin() + 9),
      ElementsAre("stage", "train", "stage", "end", "update", "train", "stage", "end", "train"));
}

TEST(CnnEngine, WhereTheHostIsBusyNothingIsStaged) {
  Rider rider({.raw = true});
  rider.steps(2);
  EXPECT_THAT(rider.calls(), ElementsAre("train", "train"));
}

TEST(CnnEngine, TheStreamStandsBeforeABatchThatIsStagedAndNotUsed) {  // CE-2
  Rider plain({}), staging({.raw = true, .meanwhile = true});
  for (int k = 0; k < 12; ++k) {
    EXPECT_EQ(staging.engine().stream(), plain.engine().stream()) << "after " << k << " steps";
    Rider other({.raw = true, .meanwhile = true});
    other.follow(staging);
    EXPECT_EQ(other.engine().stream(), staging.engine().stream());
    const double loss = plain.step();
    EXPECT_EQ(other.step(), loss);
    EXPECT_EQ(staging.step(), loss);
  }
}

TEST(CnnEngine, RestoringDropsWhatIsStaged) {
  Rider from({.raw = true, .meanwhile = true}), to({.raw = true, .meanwhile = true});
  from.steps(2);
  to.steps(5);
  to.calls().clear();
  to.follow(from);
  EXPECT_EQ(to.steps(6), from.steps(6));
  EXPECT_EQ(to.x(), from.x());
  EXPECT_THAT(Calls(to.calls().begin(), to.calls().begin() + 4),
              ElementsAre("stage", "train", "stage", "end"));
}

}  // namespace
}  // namespace paceline
