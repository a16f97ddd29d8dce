#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/error.hpp"
#include "lib/input/numbers.hpp"
#include "lib/input/value.hpp"

namespace attn {

struct FileTensor {
    std::string name;
    Shape shape;
    Numbers numbers;
    Numbers float32{};  ///< where text was read: the nearest float32 of each, rounded once; else empty
    std::optional<Element> said{};    ///< the floating type that a text says
    std::vector<std::string> axes{};  ///< their names, where a text says them
    /// CSV: the numbers of the axes batch, head, row, column in ascending order; empty: there is no such
    /// axis.
    std::array<std::vector<Index>, 4> places{};
    /// CSV: the tokens of the places of rows and of columns; empty: it has none.
    std::array<std::vector<std::string>, 2> tokens{};
    std::optional<Index> document{};  ///< CSV: where it has that column

    Element element() const { return numbers.element(); }
};

/// A tensor of a type that is not read, and what is said where somebody asks for it.
struct UnreadTensor {
    std::string name;
    Error why;
};

/// What a file of tensors holds.
struct FileTensors {
    std::vector<FileTensor> tensors;
    std::vector<UnreadTensor> unread;
    std::vector<std::string> besides;  ///< in words: what no tensor keeps
};

/// A floating type by the name that a program gives it: float32, torch.float32, <f4, F32, double, bf16, ...
std::optional<Element> type_named(std::string_view name);

/// A JSON text with all of its documents.
struct JsonText {
    Source source;
    std::vector<Document> documents;
};

/// Reads JSON as programs write it: NaN, Infinity, Inf, inf, -inf, ... are numbers, bare (Python, our own
/// --nonfinite bare) or as strings, wherever a value may stand. Places in the messages of a line that has
/// such bare words are those of the text with the words in quotes. \throws Error (exit 3) as parse_documents
JsonText read_json_text(Source source, const ParseOptions& options);

/// The value that holds the numbers of an object that is a tensor: its "data" (or "cpuData": ONNX Runtime for
/// JavaScript), a list or {"0": 1, "1": 2} as JavaScript writes a typed array. Null: it is none.
const Value* data_of(const Value& object);

/// A tensor in any notation: nested arrays; {"shape" or "dims", "data"}, the data flat or nested, other
/// members ("dtype" or "type", "axes", ...) allowed; a typed array; a single number. Numbers are float64
/// unless the text says float32; true and false are booleans. \throws Error (exit 3): what is none, a shape
/// that is not that of the data
FileTensor read_json_tensor(const Value& value, const std::string& pointer);

/// What a conversion of a trace leaves behind, in words.
constexpr std::string_view beside_stages = "what a trace says of its plan, tokens and warnings";

/// The stages of a JSON trace, or the members of an object, each a read_json_tensor().
/// \throws Error (exit 3) with its place
FileTensors json_tensors_of(const JsonText& text);
FileTensors read_json_tensors(Source source);

/// Whether a text begins with the header of a CSV trace: its columns but for the tokens, among others.
bool is_csv_trace(std::string_view text);

/// The lines of a CSV trace (docs/trace.md), in any order, its columns too; what other programs make of one
/// is read: quoted cells, a column of row names in front, `0.0` for the number of an axis, NA or nothing for
/// an axis that is not there, Inf, -Inf, inf, NaN. Axes are the columns batch, head, row, column that are
/// filled; the numbers of an axis are taken without gaps. \throws Error (exit 3) with its line: a cell that
/// stands twice or is missing, an empty value
FileTensors read_csv_tensors(const Source& source);

}  // namespace attn
