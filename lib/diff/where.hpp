#pragma once
#include <functional>
#include <string>
#include <vector>

#include "lib/shape.hpp"

namespace attn {

/// The indices of an axis that hold a number that differs, where they are not all and make a pattern: a few
/// ranges, or every n-th.
struct WhereOnAxis {
    std::size_t axis = 0;
    Index length = 0;
    std::vector<Index> indices;  ///< ascending
};

/// Where numbers of an array differ.
struct Where {
    std::vector<WhereOnAxis> axes;
    enum class Side { any, right, on, left } diagonal = Side::any;  ///< all of them, of the last two axes
};

/// `differs`: of each number, row-major. `is_square`: the last two axes are rows and columns that are counted
/// alike (queries and keys). With fewer than two that differ there is no pattern.
Where where_differs(const Shape& shape, bool is_square, const std::vector<bool>& differs);

/// "0:5,7": as --rows and its sisters take it; many single ones: "1,3,5".
std::string ranges_of(const std::vector<Index>& indices);

/// In words: "rows 0-4 agree, 5-9 differ", "head 1 alone", "every second column from 1". `names`: of the axes
/// of the shape; without them axes are counted.
std::vector<std::string> where_words(const Where& where, const Shape& shape,
                                     const std::vector<std::string>& names);

}  // namespace attn
