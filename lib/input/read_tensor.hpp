#pragma once
#include <string>
#include <string_view>

#include "lib/input/problem.hpp"

namespace attn {

/// Which elements a tensor may hold.
enum class Elements {
    finite,    ///< numbers
    additive,  ///< numbers and "Infinity", "-Infinity", "NaN"
    yes_no     ///< booleans, or the numbers 0 and 1
};

struct TensorRule {
    std::size_t min_rank = 2, max_rank = 3;
    Elements elements = Elements::finite;
    std::string_view form;  ///< "a matrix [query, d_in] or [batch, query, d_in]"
};

/// Reads a tensor in any of its notations: nested arrays, {"shape", "data"}, or drawn by {"init"}.
/// Sizes are checked before anything is copied. \throws Error (exit 3)
TensorSource read_tensor(const Value& value, const std::string& pointer, const TensorRule& rule);

/// What `{"init": ...}` draws is float64.
bool draws_doubles(const Value& object, const std::string& pointer);

/// An integer of at least `least`. \throws Error (exit 3)
Index read_integer(const Value& value, const std::string& pointer, Index least, std::string_view what);
/// A list of integers of at least `least`.
std::vector<Index> read_integers(const Value& value, const std::string& pointer, Index least,
                                 std::string_view what);
/// A list of finite numbers, integers or not: of one axis, from the text or from a file. \throws Error (exit
/// 3)
std::vector<double> read_numbers(const Value& value, const std::string& pointer, std::string_view what);
/// The same, or such a list for each batch item. \throws Error (exit 3)
Places read_places(const Value& value, const std::string& pointer, std::string_view what);
double read_number(const Value& value, const std::string& pointer, std::string_view what);
bool read_boolean(const Value& value, const std::string& pointer, std::string_view what);
const std::string& read_string(const Value& value, const std::string& pointer, std::string_view what);
/// A seed as torch.manual_seed takes it: -2^63 to 2^64 - 1, of which its generator uses the low 32 bits.
std::uint64_t read_seed(const Value& value, const std::string& pointer);
/// The place of `value` among `names`. \throws Error with a suggestion
std::size_t read_choice(const Value& value, const std::string& pointer,
                        std::span<const std::string_view> names);
/// A hint that lists the names of a place: all, or the eight that look most like `name`.
std::string list_near(std::string_view name, std::span<const std::string_view> names);
/// Refuses members of an object that are not among `names` (ignored keys excepted).
void check_members(const Value& object, const std::string& pointer, std::span<const std::string_view> names);
/// The member, or an Error that it is missing.
const Value& need(const Value& object, const std::string& pointer, std::string_view name,
                  std::string_view what);
/// Keys that begin with `$` or `_`, and `comment`, are ignored.
bool is_ignored(std::string_view key);

}  // namespace attn
