#include "paceline/apps/readable_json.h"

#include <gtest/gtest.h>

namespace paceline {
namespace {

TEST(ReadableJson, MembersStandOneALineAndArraysOfObjectsAsATable) {
  const nlohmann::json figures = {
      {"threads", 1},
      {"sizes", {{{"bytes", 1024}, {"share", 0.51239}}, {{"bytes", 64}, {"share", nullptr}}}}};
  EXPECT_EQ(readable_json(figures),
            "sizes\n"
            "  bytes   share\n"
            "   1024  0.5124\n"
            "     64    null\n"
            "threads  1\n");
}

}  // namespace
}  // namespace paceline
