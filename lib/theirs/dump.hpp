#pragma once
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/input/numbers.hpp"
#include "lib/input/tensor_file.hpp"
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
    int digits = 0;                 ///< printed with so many after the point; 0: in full
};

/// The arrays of one document.
struct Dump {
    std::string file;
    std::optional<Index> number;  ///< of the document, where a file holds several
    std::vector<GivenArray> arrays;
    std::vector<std::string> order;                              ///< of the stages, where a trace says it
    std::vector<std::pair<std::string, std::string>> selection;  ///< "query": "0,2", where it is a part
};

/// Digits after the point that THEIRS were printed with. Nothing: counted. 0: in full.
using PrintedDigits = std::optional<int>;

/// What a text may be.
enum class TextForm { input, dump };

/// A file of text: documents of JSON (objects, arrays), or rows of CSV.
struct TextFile {
    Source source{{}, std::string()};
    std::vector<Document> documents;  ///< empty: CSV
};

/// Reads JSON (bare NaN and Infinity as Python writes them included) or, where the text begins otherwise,
/// CSV. \throws Error (exit 3) with its place
TextFile read_text(Source source);

/// An input document of attn-calc, or somebody's numbers?
TextForm form_of(const TextFile& file);

/// The arrays of a text, document by document: traces of attn-calc (JSON, NDJSON, CSV), nested arrays under
/// any names, a lone array, rows of numbers. \throws Error (exit 3) with its place
std::vector<Dump> read_dumps(const TextFile& file, PrintedDigits digits);

/// The arrays of a file of tensors, in its order. \throws Error (exit 3)
Dump dump_of(const TensorFile& file);

}  // namespace attn
