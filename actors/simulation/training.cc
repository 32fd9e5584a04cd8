#include "paceline/actors/simulation/training.h"

#include <stdexcept>
#include <utility>

#include "paceline/actors/cnn_engine.h"

namespace paceline {
namespace {

constexpr std::size_t kSample = 512;  // images whose loss stands for the training set's

/// On a board of its own, which nobody shares.
RunWords& words_on(std::byte* board, std::uint32_t seats) {
  std::size_t space = RunWords::bytes(seats) + alignof(RunWords);
  void* at = board;
  std::align(alignof(RunWords), RunWords::bytes(seats), at, space);
  return RunWords::make({static_cast<std::byte*>(at), RunWords::bytes(seats)}, 0, seats);
}

}  // namespace

Training::Training(const RunOptions& options, const Network& network, const Data& data)
    : options_(options),
      board_(std::make_unique<std::byte[]>(RunWords::bytes(options.seats()) + alignof(RunWords))),
      context_(options_, network, data, words_on(board_.get(), options.seats())) {}

Result<std::unique_ptr<Training>> Training::create(const RunOptions& options,
                                                   const Network& network, const Data& data) {
  std::unique_ptr<Training> made(new Training(options, network, data));
  made->options_.pin = false;  // the one thread is its caller's
  PACELINE_TRYV(prepare(made->context_, made->options_));
  PACELINE_TRYV(made->build());
  return made;
}

CompileOptions Training::compile() const {
  CompileOptions compile;
  compile.batch = options_.batch;
  compile.deterministic = options_.deterministic;
  return compile;
}

Result<> Training::build() {
  PACELINE_TRY(executable_, context_.device->compile(context_.network.program(), compile()));
  PACELINE_TRY(flat_, context_.device->allocate(math().bytes(dimension() + buffers())));
  sample_ =
      std::make_unique<TestStream>(context_.data, *context_.data.train, context_.network.image(),
                                   options_.batch, options_.decode_threads);
  return success();
}

std::unique_ptr<GradientEngine> Training::engine(Rank rank) {
  const std::span<const float> first = std::span(context_.initial).subspan(dimension());
  std::shared_ptr<Executable> executable = executable_;
  if (executable->has_meanwhile()) {
    auto own = context_.device->compile(context_.network.program(), compile());
    if (!own) throw std::runtime_error(own.error().message);
    executable = std::move(own).value();
  }
  auto engine = CnnEngine::create(*context_.device, std::move(executable), first, context_.data,
                                  context_.stream(rank));
  if (!engine) throw std::runtime_error(engine.error().message);
  return std::move(engine).value();
}

Vector Training::completed(std::span<const float> x) {
  PACELINE_CHECK(x.size() == dimension(), "{} elements, not {}", x.size(), dimension());
  auto* flat = static_cast<float*>(flat_->data());
  math().copy({flat, x.size()}, {x.data(), x.size()});
  math().copy({flat + dimension(), buffers()}, {context_.initial.data() + dimension(), buffers()});
  return {flat, dimension() + buffers()};
}

double Training::loss(std::span<const float> x) {
  const Vector flat = completed(x);
  const ConstVector parameters{flat.data, dimension()};
  const Vector statistics{static_cast<float*>(flat.data) + dimension(), buffers()};
  const auto over_sample = [&](auto&& use) {
    sample_->rewind();
    std::size_t images = 0;
    for (const Batch* batch = &sample_->next(); !batch->labels.empty() && images < kSample;
         batch = &sample_->next()) {
      images += batch->labels.size();
      use(*batch);
    }
  };
  int k = 0;
  if (buffers() > 0)
    over_sample([&](const Batch& batch) {
      if (batch.labels.size() == options_.batch)
        executable_->estimate_buffers(parameters, statistics, batch, 1.0 / ++k);
    });
  Evaluation sum;
  over_sample([&](const Batch& batch) {
    const Evaluation part = executable_->evaluate(parameters, statistics, batch);
    sum.loss_sum += part.loss_sum;
    sum.images += part.images;
  });
  return sum.loss_sum / static_cast<double>(sum.images);
}

Result<double> Training::test_error(std::span<const float> x) {
  if (!tester_) {
    PACELINE_TRY(tester_, Tester::create(*context_.device, context_.network, context_.data,
                                         options_.deterministic, options_.decode_threads));
  }
  const Vector flat = completed(x);
  tester_->estimate_buffers(flat, context_.stream(0));
  const Evaluation test = tester_->test(flat);
  return static_cast<double>(test.errors) / static_cast<double>(test.images);
}

}  // namespace paceline
