#include "paceline/actors/election.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "paceline/actors/score_window.h"

namespace paceline {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Candidate elect(const std::vector<Candidate>& votes) {
  Ballot ballot;
  for (const Candidate& vote : votes) ballot.cast(vote);
  return ballot.best();
}

TEST(Election, TheLowestScoreLeads) {
  EXPECT_EQ(elect({{0, 0.5, 1}, {1, 0.25, 1}, {2, 0.75, 1}}).rank, 1u);
  EXPECT_EQ(elect({{0, 0.5, 1}, {1, -0.25, 1}, {2, 0.0, 1}}).rank, 1u);
}

TEST(Election, TiesGoToTheLowestRankInAnyOrderOfVotes) {
  std::vector<Candidate> votes = {{0, 0.5, 1}, {1, 0.25, 1}, {2, 0.25, 1}, {3, 0.25, 1}};
  do {
    EXPECT_EQ(elect(votes).rank, 1u);
  } while (std::ranges::next_permutation(votes, {}, &Candidate::rank).found);
}

TEST(Election, NanAndInfinityAndTheUnpublishedNeverLead) {
  EXPECT_EQ(elect({{0, kNan, 1}, {1, 0.9, 1}}).rank, 1u);
  EXPECT_EQ(elect({{0, -kInf, 1}, {1, 0.9, 1}}).rank, 1u);
  EXPECT_EQ(elect({{0, 0.1, 0}, {1, 0.9, 1}}).rank, 1u);
  EXPECT_EQ(elect({{0, kNan, 1}, {1, kInf, 1}, {2, 0.0, 0}}).rank, kNobody);
  EXPECT_EQ(elect({}).rank, kNobody);
}

TEST(Election, PermutingTheRanksPermutesTheResult) {
  std::vector<double> scores = {0.1, 0.2, 0.3, 0.4};
  do {
    std::vector<Candidate> votes;
    for (Rank r = 0; r < scores.size(); ++r) votes.push_back({r, scores[r], 1});
    EXPECT_EQ(scores[elect(votes).rank], 0.1);
  } while (std::ranges::next_permutation(scores).found);
}

TEST(Election, TheLastVoteCountsAndAWithdrawnOneDoesNot) {
  Ballot ballot;
  ballot.cast({0, 0.1, 1});
  ballot.cast({1, 0.2, 1});
  ballot.cast({0, 0.3, 2});
  EXPECT_EQ(ballot.best().rank, 1u);
  ballot.withdraw(1);
  EXPECT_EQ(ballot.best().rank, 0u);
  EXPECT_EQ(ballot.best().version, 2u);
}

TEST(ScoreWindow, IsInfiniteUntilItIsFullAndThenTheMeanOfTheLast) {
  std::vector<double> numbers(ScoreWindow::numbers(3));
  ScoreWindow window(numbers);
  window.add(1);
  window.add(2);
  EXPECT_EQ(window.score(), kInf);
  window.add(6);
  EXPECT_EQ(window.score(), 3);
  window.add(4);
  EXPECT_EQ(window.score(), 4);
}

TEST(ScoreWindow, ALossThatIsNotFiniteSpoilsItUntilItHasLeft) {
  std::vector<double> numbers(ScoreWindow::numbers(2));
  ScoreWindow window(numbers);
  for (const double bad : {kNan, kInf}) {
    window.add(1);
    window.add(bad);
    EXPECT_FALSE(std::isfinite(window.score()));
    window.add(1);
    EXPECT_FALSE(std::isfinite(window.score()));
    window.add(3);
    EXPECT_EQ(window.score(), 2);
  }
}

TEST(ScoreWindow, GoesOnFromTheNumbersOfAnother) {
  std::vector<double> numbers(ScoreWindow::numbers(3));
  ScoreWindow window(numbers);
  for (const double loss : {5.0, 1.0, 2.0, 6.0}) window.add(loss);
  std::vector<double> copy = numbers;
  ScoreWindow other(copy);
  EXPECT_EQ(other.score(), 3);
  other.add(4);  // in the place of the oldest
  EXPECT_EQ(other.score(), 4);
  EXPECT_EQ(window.score(), 3);
}

}  // namespace
}  // namespace paceline
