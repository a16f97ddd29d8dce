#pragma once
#include "app/options.hpp"

namespace attn {

bool is_terminal(int descriptor);

/// Colour for a stream: --color, then NO_COLOR, then CLICOLOR_FORCE, then a terminal that is not TERM=dumb.
bool use_colour(int descriptor, When when);

/// Columns of a stream: COLUMNS, then the terminal's, then 80.
int columns_of(int descriptor);
/// Lines of a stream: LINES, then the terminal's, then 64.
int lines_of(int descriptor);

/// What the terminal says of its colours and of its ground, in the environment.
Colours terminal_colours();
bool is_terminal_dark();

}  // namespace attn
