#pragma once
#include <optional>
#include <string>

#include "lib/mistakes/blindspots.hpp"

namespace attn {

/// At most `width` columns.
std::string blindspots_text(const Blindspots& found, int width);
/// `gradients`: those of the backward pass, where there is one.
std::string blindspots_json(const Blindspots& found, const std::optional<Blindspots>& gradients = {});

}  // namespace attn
