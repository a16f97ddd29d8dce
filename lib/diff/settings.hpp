#pragma once
#include <optional>
#include <string>
#include <vector>

#include "lib/input/value.hpp"
#include "lib/shape.hpp"

namespace attn {

/// A key whose value is not the same in two documents.
struct SettingDifference {
    std::string key;  ///< its path: "rope.base", "mask[0].keep"
    std::optional<std::string> theirs,
        ours;  ///< as JSON, a tensor as {"shape": [...]}; nothing: not there
    /// Of two tensors of one shape: the largest difference and where it is, as the document's axes lie. NaN
    /// or infinite where only one is such a number.
    std::optional<double> largest;
    Shape at;
};

/// What two documents say differently, key by key: theirs in their order, then what ours has alone. Their
/// files have been put in. Keys that are ignored count for nothing, numbers by their value.
std::vector<SettingDifference> compare_settings(const Value& theirs, const Value& ours);

}  // namespace attn
