#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/error.hpp"

namespace attn {

/// What one element of a row of scalars was in the text.
enum class Scalar : std::uint8_t { integer, real, boolean, nonfinite };

/// An array that holds only numbers, booleans and the words "Infinity", "-Infinity", "NaN", kept flat:
/// a row of a matrix costs 9 bytes an element.
struct Scalars {
    std::vector<double> values;  ///< booleans as 0 and 1
    std::vector<Scalar> kinds;
    /// Elements whose text, read as float32 at once, differs from the double rounded to float32: (element,
    /// value).
    std::vector<std::pair<std::size_t, float>> float32_exceptions;
};

struct Member;

/// A JSON value. Arrays of scalars (also empty ones) are `row`; every other array is `array`.
struct Value {
    enum class Kind : std::uint8_t { null, boolean, integer, real, string, row, array, object };

    Kind kind = Kind::null;
    bool boolean = false;
    std::int64_t integer = 0;  ///< for `integer`: a JSON number without fraction or exponent within 64 bits
    double real = 0;           ///< for `integer` and `real`
    std::string
        text;  ///< for `string`: the text; for `integer`, `real`: as written (cut after 40 characters)
    Scalars row;
    std::vector<Value> items;     ///< for `array`
    std::vector<Member> members;  ///< for `object`, in order, no name twice

    /// The member of an object, or null.
    const Value* find(std::string_view name) const;
    /// "a number", "true", "a string", "null", "an array", "an object": for messages.
    std::string describe() const;
};

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

/// A text with a name for messages ("<stdin>" for standard input).
struct Source {
    std::string name;
    std::string text;
};

/// All documents of a stream: JSON objects by RFC 8259 that follow one another, white space between them
/// optional. UTF-8 is checked, at most 64 levels, one byte order mark at the very start, no NUL, no name
/// twice in an object. \throws Error (exit 3) with its place filled in: syntax, encoding, depth, a repeated
/// name, a document that is no object, no document at all.
std::vector<Document> parse_documents(const Source& source);

/// Fills in `error.place` (file, line, column, excerpt, caret) from its pointer within one document of
/// `source`. A pointer to something that is not there leads to the nearest value above it.
void locate(Error& error, const Source& source, const Document& document);

}  // namespace attn
