// What validate() refuses, each with the operation's name and what is wrong (PR-1, PR-3 to PR-5).
#include "paceline/compute/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "compute/small_program.h"

namespace paceline::test {
namespace {

/// Convolution, BatchNorm, ReLU, a convolution back to as many channels, the sum of both, pool and
/// linear layer: op0 to op6, and the loss.
Program block() {
  ProgramSketch sketch({3, 8, 8});
  const std::size_t x =
      sketch.apply_all({{Convolution{3, 1, 1, false}, 4}, {BatchNorm{}}, {Relu{}}}, 0);
  sketch.add(sketch.then({Convolution{3, 1, 1}, 4}), x);
  sketch.then({MaxPool{2, 2}});
  sketch.then({Linear{}, 3});
  return sketch.finish();
}

std::string refusal(const Program& program) {
  const auto valid = validate(program);
  return valid ? "valid" : valid.error().message;
}
/// What is said of the block once `change` has been made to one of its operations.
template <class Change>
std::string refusal(std::size_t operation, Change change) {
  Program program = block();
  change(program.operations[operation]);
  return refusal(program);
}
/// What is said of one operation between the images and a linear layer.
std::string refusal(Shape image, const Link& link) {
  return refusal(chain(image, {link, {Linear{}, 3}}));
}

TEST(Program, IsValidAsTheSketchesMakeIt) { EXPECT_EQ(refusal(block()), "valid"); }

TEST(Program, NeedsAnInputAndALossAtItsEndAlone) {
  EXPECT_EQ(refusal(Program{}), "a program without an input shape");
  Program program = block();
  program.operations.pop_back();
  EXPECT_EQ(refusal(program), "a program must end with the loss");
  EXPECT_EQ(refusal(5, [](Operation& op) { op.kind = SoftmaxCrossEntropy{}; }),
            "operation \"op5\" is a loss that is not the last operation");
  program = chain({3, 2, 2}, {{Relu{}}});
  EXPECT_EQ(refusal(program), "operation \"op1\" needs one logit a class, not 3x2x2");
}

TEST(Program, ReadsOnlyWhatWasWrittenBefore) {
  EXPECT_EQ(refusal(2, [](Operation& op) { op.input = 3; }),
            "operation \"op2\" reads an activation that nothing wrote before: 3 of 3");
  EXPECT_EQ(refusal(4, [](Operation& op) { op.other = 5; }),
            "operation \"op4\" adds an activation that nothing wrote before: 5 of 5");
  EXPECT_EQ(refusal(4, [](Operation& op) { op.other = 1000; }),
            "operation \"op4\" adds an activation that nothing wrote before: 1000 of 5");
}

TEST(Program, WritesNothingThatNobodyReads) {
  EXPECT_EQ(refusal(4, [](Operation& add) { add.input = add.other; }),
            "operation \"op3\" writes what nothing reads");
}

TEST(Program, WritesActivationsInTheOrderOfTheirNumbers) {
  for (const std::size_t output : {2, 4, 1000})
    EXPECT_EQ(
        refusal(2, [&](Operation& op) { op.output = output; }),
        fmt::format("operation \"op2\" must write activation 3 of 9, the next, not {}", output));
  Program program = block();
  program.activations.resize(3);
  EXPECT_EQ(refusal(program), "operation \"op2\" must write activation 3 of 3, the next, not 3");
}

TEST(Program, AddsTwoOfOneShape) {
  EXPECT_EQ(refusal(4, [](Operation& op) { op.other = 0; }),
            "operation \"op4\" adds 3x8x8 to 4x8x8: an addition needs two of one shape");
}

TEST(Program, HasShapesThatFollowFromItsOperations) {
  Program program = block();
  program.activations[1].height = 7;
  EXPECT_EQ(refusal(program), "operation \"op0\" does not make 4x7x8 of 3x8x8");
  program = block();
  program.activations[2].channels = 5;
  EXPECT_EQ(refusal(program), "operation \"op1\" does not make 5x8x8 of 4x8x8");
  program = chain({3, 4, 4}, {{GlobalAveragePool{}}, {Linear{}, 3}});
  program.activations[1].channels = 4;
  EXPECT_EQ(refusal(program), "operation \"op0\" does not make 4x1x1 of 3x4x4");
  EXPECT_EQ(refusal({3, 4, 4}, {PaddedShortcut{2}, 2}),
            "operation \"op0\" does not make 2x2x2 of 3x4x4");
  EXPECT_EQ(refusal({3, 4, 4}, {Linear{}, 0}), "operation \"op0\" does not make 0x1x1 of 3x4x4");
}

TEST(Program, RefusesWindowsThatDoNotFit) {
  Program program = chain({3, 4, 4}, {{AveragePool{2, 2}}, {Linear{}, 3}});
  for (const AveragePool pool : {AveragePool{5, 2}, AveragePool{0, 2}, AveragePool{2, 0}}) {
    program.operations[0].kind = pool;
    EXPECT_EQ(refusal(program), "operation \"op0\" does not make 3x2x2 of 3x4x4");
  }
}

TEST(Program, RefusesSettingsWithoutMeaning) {
  EXPECT_EQ(refusal(5,
                    [](Operation& op) {
                      op.kind = MaxPool{2, 2, 2};
                    }),
            "operation \"op5\" pads by 2, more than half its kernel of 2");
  EXPECT_EQ(refusal(5,
                    [](Operation& op) {
                      op.kind = MaxPool{3, 2, 2};
                    }),
            "operation \"op5\" pads by 2, more than half its kernel of 3");
  EXPECT_EQ(refusal(1,
                    [](Operation& op) {
                      op.kind = BatchNorm{0.0, 0.1};
                    }),
            "operation \"op1\" has epsilon 0, not above 0");
  EXPECT_EQ(refusal(1,
                    [](Operation& op) {
                      op.kind = BatchNorm{1e-5, 1.5};
                    }),
            "operation \"op1\" has momentum 1.5, not in [0, 1]");
  EXPECT_EQ(refusal(2, [](Operation& op) { op.kind = Dropout{1.0}; }),
            "operation \"op2\" drops with probability 1, not in [0, 1)");
  for (const double smoothing : {1.0, -0.1})
    EXPECT_EQ(refusal(7, [&](Operation& op) { op.kind = SoftmaxCrossEntropy{smoothing}; }),
              fmt::format("operation \"op7\" smooths labels by {}, not in [0, 1)", smoothing));
}

TEST(Program, PadsAShortcutOnBothSidesAlike) {
  EXPECT_EQ(refusal({3, 4, 4}, {PaddedShortcut{2}, 5}), "valid");
  EXPECT_EQ(refusal({3, 4, 4}, {PaddedShortcut{2}, 6}),
            "operation \"op0\" adds 3 channels of zeros, which are not the same number before and "
            "after");
}

TEST(Program, HasItsParametersInTheFlatVector) {
  const std::string outside = " has parameters outside the flat vector or not on 64 bytes";
  EXPECT_EQ(refusal(0, [](Operation& op) { op.weight = 8; }), "operation \"op0\"" + outside);
  EXPECT_EQ(refusal(1, [](Operation& op) { op.bias = 1'000'000 * 16; }),
            "operation \"op1\"" + outside);
  EXPECT_EQ(refusal(3, [](Operation& op) { op.weight = std::size_t{0} - 16; }),
            "operation \"op3\"" + outside);
  Program program = block();
  program.parameter_elements -= 16;
  EXPECT_EQ(refusal(program), "operation \"op6\"" + outside);
  EXPECT_EQ(refusal(0, [](Operation& op) { op.bias = 1; }), "valid") << "a bias that it has not";
}

TEST(Program, HasItsRunningStatisticsInTheBuffers) {
  const std::string outside =
      "operation \"op1\" has running statistics outside the buffers or not on 64 bytes";
  EXPECT_EQ(refusal(1, [](Operation& op) { op.running_mean = 8; }), outside);
  EXPECT_EQ(refusal(1, [](Operation& op) { op.running_variance = 32; }), outside);
  Program program = block();
  program.buffer_elements = 16;
  EXPECT_EQ(refusal(program), outside);
}

}  // namespace
}  // namespace paceline::test
