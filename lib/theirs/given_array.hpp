#pragma once
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/input/file_tensors.hpp"
#include "lib/input/numbers.hpp"
#include "lib/input/problem.hpp"
#include "lib/input/value.hpp"
#include "lib/shape.hpp"

namespace attn {

/// Somebody's array, as it was found: neither its name nor its axes are understood yet.
struct GivenArray {
    std::string name;  ///< with its prefix, "layers.3.weights"; empty: the file holds one array
    Shape shape;
    std::vector<double> values;     ///< row-major
    std::optional<Element> type;    ///< where the file says it
    bool as_ours = false;           ///< decimals of our own, which read back in the type of a run
    std::vector<std::string> axes;  ///< names of the axes, where the file says them
    std::vector<float> half_unit;   ///< as in WholeStage
    bool padded = false;            ///< some digits are there for the width alone
    bool printed = false;           ///< a print for people, though its type is said
    int digits = 0;                 ///< printed with so many after the point; 0: in full
    /// The numbers of batch, head, row and column that it holds, where the file says them; empty: no such
    /// axis.
    std::array<std::vector<Index>, 4> places{};
    bool computed = false;  ///< by a run here: no other order of axes is tried
};

/// The indices of one axis that a part of a trace holds: "batch", "head", "query" or "key".
struct AxisPart {
    std::string axis;
    std::vector<Index> indices;  ///< ascending
};

/// What a part holds of each axis that was cut. Empty: the whole.
using Selection = std::vector<AxisPart>;

/// How a trace's stages lie that are not by query heads and given keys, as far as its plan says it.
struct TraceAxes {
    bool known = false;          ///< a file says it (CSV does not)
    bool kv_interleaved = true;  ///< query head h reads kv head h / group; else h mod kv heads
    Index cached_keys = 0;
    Index heads = 1;                   ///< of queries
    std::optional<Pairing> pairing{};  ///< heads of queries are half heads: which belong together
};

/// The arrays of one document.
struct Dump {
    std::string file;
    std::optional<Index> number;  ///< of the document, where a file holds several
    std::optional<Index> layer;   ///< of a model, where a trace or the file's name says it
    std::vector<GivenArray> arrays;
    std::vector<UnreadTensor> unread;
    std::vector<std::string> order;  ///< of the stages, where a trace says it
    Selection selection;
    TraceAxes axes;
    std::vector<std::string> query_tokens, key_tokens;  ///< of a trace, where they are not numbers alone
};

/// What a trace says of itself beside its numbers (JSON, the first event of NDJSON, attn_calc.json in npz and
/// safetensors): the order of its stages, which part it is, how heads and keys lie.
void read_about(const Value& root, Dump& dump);

/// Tokens of an axis; empty where they only count from 0: nobody gave any.
std::vector<std::string> given_tokens(std::vector<std::string> tokens);

/// The numbers as doubles; those that are decimals of a float32 as that float32.
void copy_as(std::optional<Element> type, const Numbers& numbers, std::vector<double>& out);

/// Counts the digits that an array's numbers were written with: `digits`, `half_unit` of the array.
void mark_digits(GivenArray& array, const std::vector<Digits>& digits);

}  // namespace attn
