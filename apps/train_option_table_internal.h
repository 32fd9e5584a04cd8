// The table of training options: one row for each, which says its name and help, reads and shows it.
#pragma once

#include <vector>

#include "paceline/apps/option_row_internal.h"

namespace paceline {

const std::vector<Row>& train_option_table();

}  // namespace paceline
