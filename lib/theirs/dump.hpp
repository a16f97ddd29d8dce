#pragma once
#include <optional>
#include <vector>

#include "lib/input/tensor_file.hpp"
#include "lib/input/value.hpp"
#include "lib/theirs/given_array.hpp"

namespace attn {

/// Digits after the point that THEIRS were printed with. Nothing: counted. 0: in full.
using PrintedDigits = std::optional<int>;

/// What a text may be.
enum class TextForm { input, dump };

/// On which side of a comparison a text stands.
enum class TextSide { theirs, ours };

/// A file of text: documents of JSON (objects, arrays), or something else (read_plain).
struct TextFile {
    Source source{{}, std::string()};
    std::vector<Document> documents;     ///< empty: no JSON
    std::optional<Source> as_written{};  ///< where words of other programs became ours: what stood there
};

/// Reads JSON (read_json_text) where the text is that, and leaves anything else as it is.
/// \throws Error (exit 3) with its place
TextFile read_text(Source source);

/// The same as an input: as it is written, since a document has only our own words. \throws Error (exit 3)
void read_as_input(TextFile& file);

/// An input document of attn-calc, or somebody's numbers? An object whose keys are all names of stages is
/// numbers; but queries, keys and values alone, as OURS, are an input: they can be computed.
TextForm form_of(const TextFile& file, TextSide side);

/// The arrays of a text, document by document: traces of attn-calc in every format of text, nested arrays
/// under any names, a lone array, prints, tables. \throws Error (exit 3) with its place
std::vector<Dump> read_dumps(const TextFile& file, PrintedDigits digits);

/// Whether a text is a trace of events: NDJSON.
bool is_events(const JsonText& text);

/// The arrays of one document of a text, in the order that a trace says, as tensors. \throws as read_dumps
FileTensors tensors_of(const TextFile& file);

/// The arrays of a file of tensors, in its order; what a trace says of itself (attn_calc.json) is read.
/// \throws Error (exit 3)
Dump dump_of(const TensorFile& file);

}  // namespace attn
