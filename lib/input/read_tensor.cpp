#include "lib/input/read_tensor.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "lib/input/choices.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

std::size_t length(const Value& v) { return v.kind == Value::Kind::row ? v.row.length() : v.items.size(); }

/// Axes of a list, as its first elements have them.
void append_axes(const Value& value, Shape& out) {
    const Value* v = &value;
    for (; v->kind == Value::Kind::array; v = &v->items.front()) {
        out.push_back(static_cast<Index>(v->items.size()));
        if (v->items.empty() || !is_list(v->items.front())) return;
    }
    out.insert(out.end(), v->row.shape.begin(), v->row.shape.end());
}

/// A list whose elements are scalars, so that it is one row of a tensor.
bool is_leaf(const Value& v) {
    if (v.kind == Value::Kind::row) return v.row.shape.size() == 1;
    return !v.items.empty() && !is_list(v.items.front());
}

/// Of a number that is not finite.
std::string word_of(double v) { return std::isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity"; }

/// The pointer of number `place` of an array.
std::string place_of(const Scalars& row, std::string pointer, Index place) {
    Index part = row.numbers.size();
    for (const Index n : row.shape) {
        part /= n;
        pointer = child(pointer, place / part);
        place %= part;
    }
    return pointer;
}

/// Number `wrong` of a file's array is not what a rule wants.
[[noreturn]] void fail_in_file(const Scalars& row, const std::string& pointer, Index wrong,
                               const std::string& expected) {
    const bool boolean = row.numbers.element() == Element::boolean;
    fail(pointer, "is read from " + clip(visible(row.from), 80) + ", which holds " +
                      (boolean ? "booleans"
                               : word_of(row.numbers[wrong]) + " at " +
                                     place_of(row, pointer, wrong).substr(pointer.size())) +
                      ", expected " + expected);
}

/// Reads arrays into a tensor. A regular array of scalars comes as one block, and is taken as it is once its
/// elements are known to be of the right kind; any other array is walked through to its fault.
class Nested {
  public:
    Nested(TensorSource& out, const TensorRule& rule) : out_(out), rule_(rule) {}

    void read(const Value& value) {
        append_axes(value, out_.shape);
        if (length(value) == 0) fail(out_.pointer, "is empty, expected " + std::string(rule_.form));
        check_rank(out_.shape.size());
        if (value.kind == Value::Kind::row) return take(value.row, out_.pointer);
        walk(value, out_.pointer, out_.pointer, 0);
        fail(out_.pointer, "is not a regular array, expected " + std::string(rule_.form));
    }

    /// The numbers of a block, row-major.
    void take(const Scalars& row, const std::string& pointer) {
        if (row.in_file && rule_.elements == Elements::finite && is_floating(row.numbers.element())) {
            out_.check = [row, pointer](Index first, Index count) {
                if (const auto wrong = row.numbers.find_not_finite(first, count))
                    fail_in_file(row, pointer, *wrong, "a number");
            };
        } else {
            check_elements(row, pointer);
        }
        out_.numbers = row.numbers;
        out_.file = row.from;
        if (row.from.empty() && row.numbers.element() == Element::float32)
            out_.as_float64 = [row] { return row.as_float64(); };
    }

    /// A list of which one element is no scalar, or not one of the right kind.
    void check_list(const Value& value, const std::string& pointer) const {
        if (value.kind == Value::Kind::row) return check_elements(value.row, pointer);
        for (std::size_t k = 0; k < value.items.size(); ++k) {
            const Value& e = value.items[k];
            const bool scalar =
                e.kind == Value::Kind::integer || e.kind == Value::Kind::real ||
                (e.kind == Value::Kind::boolean && rule_.elements == Elements::yes_no) ||
                (e.kind == Value::Kind::string && is_word(e.text) && rule_.elements == Elements::additive);
            if (!scalar) {
                const std::string what =
                    e.kind == Value::Kind::string ? "the string \"" + e.text + "\"" : e.describe();
                fail(child(pointer, static_cast<Index>(k)), "is " + what + ", expected " + element_word());
            }
        }
    }

    void check_rank(std::size_t rank) const {
        if (rank >= rule_.min_rank && rank <= rule_.max_rank) return;
        const std::string found =
            rank == 1 ? "is a list of numbers" : "has " + std::to_string(rank) + " axes";
        fail(out_.pointer, found + ", expected " + std::string(rule_.form));
    }

  private:
    static bool is_word(std::string_view s) { return s == "Infinity" || s == "-Infinity" || s == "NaN"; }

    std::string element_word() const {
        switch (rule_.elements) {
            case Elements::finite:
                return "a number";
            case Elements::additive:
                return "a number, \"-Infinity\", \"Infinity\" or \"NaN\"";
            case Elements::yes_no:
                return "true, false, 1 or 0";
        }
        return {};
    }

    /// The first element of a kind that the rule does not know.
    void check_elements(const Scalars& row, const std::string& pointer) const {
        const std::size_t word = row.first_of(Scalar::nonfinite), boolean = row.first_of(Scalar::boolean);
        const std::size_t other =
            rule_.elements == Elements::yes_no ? row.first_that_is_other() : Scalars::none;
        const std::size_t wrong = rule_.elements == Elements::finite     ? std::min(word, boolean)
                                  : rule_.elements == Elements::additive ? boolean
                                                                         : std::min(word, other);
        if (wrong == Scalars::none) return;
        const double v = row.numbers[static_cast<Index>(wrong)];
        const std::string at = place_of(row, pointer, static_cast<Index>(wrong));
        if (!row.from.empty() && wrong != other)
            fail_in_file(row, pointer, static_cast<Index>(wrong), element_word());
        if (wrong == other && rule_.elements == Elements::yes_no)
            fail(at, "is a number other than 0 and 1, expected " + element_word(),
                 "numbers that are added to the scores are written {\"add\": ...}");
        if (wrong == boolean)
            fail(at, std::string("is the boolean ") + (v != 0 ? "true" : "false") + ", expected " +
                         element_word());
        const std::string found = std::string("is the string \"") + word_of(v) + "\", expected ";
        if (rule_.elements == Elements::finite)
            fail(at, found + "a finite number", "only an additive mask may hold infinities and NaN");
        fail(at, found + element_word());
    }

    void walk(const Value& value, const std::string& pointer, const std::string& sibling,
              std::size_t level) const {
        const auto expected = static_cast<std::size_t>(out_.shape[level]);
        const bool last = level + 1 == out_.shape.size();
        const std::string noun = last ? "number" : "row", nouns = last ? "numbers" : "rows";
        if (!is_list(value))
            fail(pointer, "is " + value.describe() + ", expected a row of " +
                              how_many(expected, noun, nouns) + " as " + sibling);
        const std::size_t found = length(value);
        if (found == 0)
            fail(pointer, "is an empty row", "every row of a matrix has the same length, at least 1");
        // A part that is regular in itself comes as one block of all its axes.
        const std::size_t axes_left = out_.shape.size() - level;
        if (value.kind == Value::Kind::row && value.row.shape.size() > 1) {
            const Shape& s = value.row.shape;
            if (!std::equal(s.begin(), s.end(), out_.shape.begin() + static_cast<std::ptrdiff_t>(level),
                            out_.shape.end()))
                fail(pointer, "is " + to_string(s) + ", but " + sibling + " is " +
                                  to_string(Shape(out_.shape.end() - static_cast<std::ptrdiff_t>(axes_left),
                                                  out_.shape.end())));
            return check_elements(value.row, pointer);
        }
        if (last != is_leaf(value)) {
            // A scalar first element hides what comes later: name the first element that is of the wrong
            // kind.
            if (last)
                fail(child(pointer, Index{0}),
                     "is " + value.items.front().describe() + ", expected a number as in " + sibling);
            fail(pointer,
                 "is a list of numbers, expected " + how_many(expected, "row", "rows") + " as " + sibling);
        }
        if (found != expected)
            fail(pointer,
                 "has " + how_many(found, noun, nouns) + ", but " + sibling + " has " +
                     std::to_string(expected),
                 "every row of a matrix has the same length");
        if (last) return check_list(value, pointer);
        for (std::size_t k = 0; k < found; ++k) {
            const std::string here = child(pointer, static_cast<Index>(k));
            // Rows are compared with the first row of the same batch item; whole items with the first item.
            walk(value.items[k], here,
                 k == 0 ? (pointer == out_.pointer ? here : child(sibling, Index{0}))
                        : child(pointer, Index{0}),
                 level + 1);
        }
    }

    TensorSource& out_;
    const TensorRule& rule_;
};

void read_shape(const Value& object, TensorSource& out) {
    const std::string pointer = child(out.pointer, "shape");
    out.shape =
        read_integers(need(object, out.pointer, "shape", "expected {\"shape\": [...], \"data\": [...]}"),
                      pointer, 1, "a shape of axis lengths");
    if (!element_count(out.shape)) fail(pointer, "has a product above 63 bits: the shape is too large");
}

void read_flat(const Value& object, TensorSource& out, const TensorRule& rule) {
    static constexpr std::array<std::string_view, 2> names{"shape", "data"};
    check_members(object, out.pointer, names);
    read_shape(object, out);
    Nested nested(out, rule);
    nested.check_rank(out.shape.size());
    const Value& data = need(object, out.pointer, "data", "the numbers of the shape, row-major");
    const std::string pointer = child(out.pointer, "data");
    if (!is_list(data)) fail(pointer, "is " + data.describe() + ", expected a flat array of numbers");
    if (!is_leaf(data)) fail(child(pointer, Index{0}), "is an array: \"data\" of a shape is flat, row-major");
    const auto expected = static_cast<std::size_t>(*element_count(out.shape));
    if (length(data) != expected)
        fail(pointer, "has " + how_many(length(data), "number", "numbers") + ", but the shape " +
                          to_string(out.shape) + " needs " + std::to_string(expected));
    if (data.kind == Value::Kind::row) return nested.take(data.row, pointer);
    nested.check_list(data, pointer);
}

void read_drawn(const Value& object, TensorSource& out, const TensorRule& rule) {
    if (rule.elements != Elements::finite) fail(out.pointer, "is drawn at random: a mask is given as it is");
    const std::size_t which =
        read_choice(*object.find("init"), child(out.pointer, "init"), drawn_tensor_names);
    const auto seed = [&] {
        const Value* given = object.find("seed");
        out.shared = !given;
        if (given) out.seed = read_seed(*given, child(out.pointer, "seed"));
        out.doubles = draws_doubles(object, out.pointer);
    };
    if (which == 2) {
        static constexpr std::array<std::string_view, 6> names{"init",           "seed", "dtype",
                                                               "num_embeddings", "dim",  "ids"};
        check_members(object, out.pointer, names);
        seed();
        out.kind = TensorSource::Kind::embedding;
        out.num_embeddings =
            read_integer(need(object, out.pointer, "num_embeddings", "rows of the table"),
                         child(out.pointer, "num_embeddings"), 1, "the number of embeddings");
        const Index dim = read_integer(need(object, out.pointer, "dim", "columns of the table"),
                                       child(out.pointer, "dim"), 1, "the width of an embedding");
        const std::string ids = child(out.pointer, "ids");
        out.ids = read_integers(need(object, out.pointer, "ids", "the rows taken"), ids, 0,
                                "row numbers of the table");
        for (std::size_t k = 0; k < out.ids.size(); ++k)
            if (out.ids[k] >= out.num_embeddings)
                fail(child(ids, static_cast<Index>(k)), "is " + std::to_string(out.ids[k]) +
                                                            ", but the table has " +
                                                            std::to_string(out.num_embeddings) + " rows");
        out.shape = {static_cast<Index>(out.ids.size()), dim};
        if (!element_count({out.num_embeddings, dim}))
            fail(out.pointer, "is a table above 63 bits: too large");
    } else {
        static constexpr std::array<std::string_view, 4> names{"init", "seed", "dtype", "shape"};
        check_members(object, out.pointer, names);
        seed();
        out.kind = which == 0 ? TensorSource::Kind::rand : TensorSource::Kind::randn;
        read_shape(object, out);
    }
    Nested(out, rule).check_rank(out.shape.size());
}

}  // namespace

bool draws_doubles(const Value& object, const std::string& pointer) {
    static constexpr std::array<std::string_view, 2> names{choice_name(DType::float32),
                                                           choice_name(DType::float64)};
    const Value* dtype = object.find("dtype");
    return dtype && read_choice(*dtype, child(pointer, "dtype"), names) == 1;
}

TensorSource read_tensor(const Value& value, const std::string& pointer, const TensorRule& rule) {
    TensorSource out;
    out.pointer = pointer;
    if (is_list(value)) {
        Nested(out, rule).read(value);
    } else if (value.kind == Value::Kind::object) {
        if (value.find("file") && value.find("init"))
            fail(pointer, "has both \"file\" and \"init\", expected one");
        if (value.find("init")) {
            read_drawn(value, out, rule);
        } else {
            if (value.members.empty())
                fail(pointer, "is an empty object, expected " + std::string(rule.form));
            read_flat(value, out, rule);
        }
    } else {
        fail(pointer, "is " + value.describe() + ", expected an array: " + std::string(rule.form));
    }
    return out;
}

}  // namespace attn
