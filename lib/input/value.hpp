#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/numbers.hpp"

namespace attn {

/// What a scalar was in the text.
enum class Scalar : std::uint8_t { integer, real, boolean, nonfinite };

/// How a number was written: digits after the point, and the power of ten after an `e`.
struct Digits {
    std::int16_t exponent = 0;
    std::uint8_t decimals = 0;
    bool padded = false;  ///< its last digit is a 0 that nobody needs
};
/// Of the text of a JSON number.
Digits digits_of(std::string_view number);

/// A regular array of one or more axes that holds only numbers, booleans and the words "Infinity",
/// "-Infinity", "NaN", kept flat: 4 bytes an element where it was read as float32, else 8. Which element is
/// what kind is not kept, only where each kind stands first: that is all that an error needs.
struct Scalars {
    static constexpr std::size_t none = SIZE_MAX;

    Shape shape;      ///< {0}: an empty array
    Numbers numbers;  ///< row-major, booleans as 0 and 1
    /// What was found while the text was read; `in_file` says that nobody has looked yet.
    std::array<std::size_t, 4> first{none, none, none, none};  ///< by Scalar; none: there is none
    std::size_t first_other = none;                            ///< the first number that is neither 0 nor 1
    bool in_file = false;
    std::string_view text;  ///< the array, in the text of `keeper`
    std::shared_ptr<const void> keeper;
    std::string from;  ///< the file, and the name there, that the numbers come from; empty: the text

    /// The first element of a kind, the first that is neither 0 nor 1; none: there is none. Of a file this
    /// reads all numbers, unless its type tells.
    std::size_t first_of(Scalar kind) const;
    std::size_t first_that_is_other() const;
    std::size_t length() const { return static_cast<std::size_t>(shape[0]); }
    /// The numbers, read again from the text where they are float32: for what has to be exact, and for
    /// arithmetic in float64 that was asked for after the text was read.
    Numbers as_float64() const;
    /// How each element was written, row-major; nothing where they come from no text.
    std::vector<Digits> digits() const;
};

struct Member;

/// A JSON value. Regular arrays of scalars of any rank (also an empty list) are `row`; every other array is
/// `array`.
struct Value {
    enum class Kind : std::uint8_t { null, boolean, integer, real, string, row, array, object };

    Kind kind = Kind::null;
    bool boolean = false;
    std::int64_t integer = 0;  ///< for `integer`: a JSON number without fraction or exponent within 64 bits
    double real = 0;           ///< for `integer` and `real`
    std::string text;          ///< for `string`: the text; for `integer`, `real`: as written (cut after 40
                               ///< characters); for the weights of a file: what is said of them
    Scalars row;
    std::vector<Value> items;     ///< for `array`
    std::vector<Member> members;  ///< for `object`, in order, no name twice

    /// The member of an object, or null.
    const Value* find(std::string_view name) const;
    /// "a number", "true", "a string", "null", "an array", "an object": for messages.
    std::string describe() const;
};

/// An array, regular or not.
inline bool is_list(const Value& v) { return v.kind == Value::Kind::row || v.kind == Value::Kind::array; }

/// One member of an object.
struct Member {
    std::string name;
    Value value;
};

/// One JSON object of a stream and where its text lies.
struct Document {
    Value root;
    std::size_t begin = 0, end = 0;  ///< bytes of the source
};

/// A text with a name for messages ("<stdin>" for standard input): in memory, or a mapped file.
struct Source {
    Source(std::string name_, std::string text_);
    /// `text_` is kept by `keeper_`, and ends before a byte 0.
    Source(std::string name_, std::string_view text_, std::shared_ptr<const void> keeper_)
        : name(std::move(name_)), text(text_), keeper(std::move(keeper_)) {}

    std::string name;
    std::string_view text;
    std::shared_ptr<const void> keeper;
    /// Gives back the memory of a part that is not needed soon: a mapped file is read again where it is.
    std::function<void(std::string_view)> let_go;
    /// Of a piece of a longer text: what stands before it there, in whole lines and in its first line.
    std::int64_t lines_before = 0, columns_before = 0;
    bool cut = false;  ///< it is a document whose line ended before it did
};

struct ParseOptions {
    std::optional<DType> dtype{};  ///< of the numbers of arrays
    bool arrays = false;           ///< a document may be an array as well
    int threads = 1;               ///< that read rows of long arrays: what is read does not depend on it
};

/// All documents of a stream: JSON objects by RFC 8259 that follow one another, white space between them
/// optional. UTF-8 is checked, at most 64 levels, one byte order mark at the very start, no NUL, no name
/// twice in an object. \throws Error (exit 3) with its place filled in: syntax, encoding, depth, a repeated
/// name, a document that is no object, no document at all.
/// Numbers of arrays are read as `options.dtype`; without one as the document's own, float32 until it says
/// otherwise. (Where float64 is said after the numbers, or later, they are read again: Scalars::as_float64.
/// That costs a second look at the text in a rare case; numbers kept as float64 would cost all others 4 bytes
/// each and a second rounding.)
std::vector<Document> parse_documents(const Source& source, const ParseOptions& options = {});
/// The first of them: others may follow. \throws as parse_documents
Document parse_document(const Source& source, const ParseOptions& options = {});

/// One JSON value of any kind, with nothing but white space around it. \throws Error (exit 3) as above
Value parse_value(const Source& source);

/// Fills in `error.place` (file, line, column, excerpt, caret) from its pointer within one document of
/// `source`. A pointer to something that is not there leads to the nearest value above it.
void locate(Error& error, const Source& source, const Document& document);

}  // namespace attn
