#include "paceline/apps/option_value.h"

#include <gtest/gtest.h>

#include <vector>

namespace paceline {
namespace {

TEST(OptionValue, AWholeNumberIsDigitsAloneWithinItsBounds) {
  EXPECT_EQ(parse_count("0").value(), 0U);
  EXPECT_EQ(parse_count("18446744073709551615").value(), 18446744073709551615U);
  for (const char* wrong :
       {"", "-1", "+1", " 1", "1 ", "1.5", "1e3", "0x10", "nan", "18446744073709551616"}) {
    EXPECT_FALSE(parse_count(wrong)) << wrong;
  }
  EXPECT_FALSE(parse_count("4294967296", 0, 4294967295U));
  EXPECT_FALSE(parse_count("0", 1));
}

TEST(OptionValue, ARealNumberIsFinite) {
  EXPECT_EQ(parse_real("1e-4").value(), 1e-4);
  EXPECT_EQ(parse_real("-0.5").value(), -0.5);
  for (const char* wrong : {"", "nan", "inf", "-inf", "1e999", "0.1x", "1,5", "--1"}) {
    EXPECT_FALSE(parse_real(wrong)) << wrong;
  }
  EXPECT_FALSE(parse_positive("0"));
  EXPECT_FALSE(parse_positive("-1"));
}

TEST(OptionValue, ARealNumberReadsBackAsItWasShown) {
  for (const double value : {0.1, 1e-4, 1.0 / 3, 5e-324, 1.7976931348623157e308, 0.0, -2.5}) {
    EXPECT_EQ(parse_real(show_real(value)).value(), value);
  }
}

TEST(OptionValue, AnUnknownWordIsRefusedNamingTheNearest) {
  const std::vector<std::string> words{"barrier", "nonblocking"};
  EXPECT_EQ(parse_word("nonblocking", words).value(), 1U);
  const auto wrong = parse_word("barier", words);
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("did you mean 'barrier'"), std::string::npos);
  const auto far = parse_word("qqqqqq", words);
  ASSERT_FALSE(far);
  EXPECT_NE(far.error().message.find("barrier, nonblocking"), std::string::npos);
}

TEST(OptionValue, ASwitchIsOnOrOff) {
  EXPECT_TRUE(parse_switch("on").value());
  EXPECT_FALSE(parse_switch("0").value());
  EXPECT_FALSE(parse_switch("maybe"));
}

}  // namespace
}  // namespace paceline
