#pragma once
#include <string>

#include "lib/mistakes/blindspots.hpp"

namespace attn {

/// At most `width` columns.
std::string blindspots_text(const Blindspots& found, int width);
std::string blindspots_json(const Blindspots& found);

}  // namespace attn
