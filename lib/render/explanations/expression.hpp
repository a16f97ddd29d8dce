#pragma once
#include <string>
#include <vector>

#include "lib/explain/step.hpp"

namespace attn {

/// How numbers and calculations of an explanation are written.
struct Notation {
    enum class Kind { text, tex };
    Kind kind = Kind::text;
    DType dtype = DType::float32;  ///< of the run: how long a number of the document is
    int precision = 4;             ///< digits after the point; what is shorter in the document stays so
    bool exact = false;            ///< every number with all its digits
    bool places = false;           ///< where the numbers come from in place of the numbers
    std::vector<explain::StageId> blank;  ///< stages whose numbers are boxes
    bool solution = false;                ///< the boxes are filled

    bool is_blank(const explain::StageId& stage) const;
};

/// A point where a long calculation may be broken, before an operator. What it stands for: a space.
constexpr char breakable = '\x1f';

/// A number as it is shown: `given` ones of the document in their own length.
std::string shown_number(double value, bool given, bool constant, const Notation& notation);
/// The calculation, with `breakable` before the operators of sums.
std::string shown_expression(const explain::Expr& e, const Notation& notation);
/// The result of a line, or its box.
std::string shown_result(const explain::Line& line, const explain::StageId& stage, const Notation& notation);

/// What the digits of the shown calculation give where that is not what is shown; else empty.
std::string other_digits(const explain::Expr& shown, const explain::Line& line, const Notation& notation);

/// The calculations of a line that are shown, one further than the other; the result is not among them.
std::vector<explain::Expr> shown_forms(const explain::Line& line, explain::Level level);

}  // namespace attn
