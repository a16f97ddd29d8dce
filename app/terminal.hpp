#pragma once
#include "app/options.hpp"

namespace attn {

bool is_terminal(int descriptor);

/// Colour for a stream: --color, then NO_COLOR, then CLICOLOR_FORCE, then a terminal that is not TERM=dumb.
bool use_colour(int descriptor, When when);

/// Columns of a stream: COLUMNS, then the terminal's, then 80.
int columns_of(int descriptor);

}  // namespace attn
