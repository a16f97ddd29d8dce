#pragma once
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/render/numbers/number.hpp"
#include "lib/render/terminal.hpp"
#include "lib/run/sink.hpp"

namespace attn {

enum class Format { text, json, ndjson, csv, torch, npz, npy, safetensors, md, tex, svg, xlsx, html };

/// Which of RenderOptions have an effect: a sum of these.
enum Obeyed : unsigned {
    obeys_nonfinite = 1,
    obeys_squeeze = 2,
    obeys_compact = 4,
    obeys_ascii = 8,
    obeys_width = 16,
    obeys_precision = 32,
    obeys_top = 64,
    obeys_standalone = 128,
    obeys_sums = 256,
    obeys_background = 512
};

class Output;
struct RenderOptions;

/// A row of THE TABLE of formats (render.cpp). A new format is its file, its enumerator and its row.
struct FormatRow {
    Format format;
    std::string_view name;
    std::array<std::string_view, 2> suffixes;  ///< of files, without the point; empty: none
    std::array<std::string_view, 2> also;      ///< what people write instead: never accepted, but understood
    bool binary;                               ///< no text: nothing for a terminal
    bool cut;                                  ///< leaves out rows that do not fit: they need not be computed
    bool bounded;                              ///< many numbers make it no larger than some megabytes
    bool several;                              ///< holds several documents
    unsigned obeys;                            ///< Obeyed, of a trace
    std::unique_ptr<Sink> (*make)(Output& output, const RenderOptions& options);
    /// Refuses a plan whose trace the format cannot hold, before anything is written. Null: it holds any.
    /// \throws Error (exit 2, 3)
    void (*refuse)(const Plan& plan) = nullptr;
    std::string_view before_several = {};  ///< what stands before the first of several documents
};

std::span<const FormatRow> all_formats();
const FormatRow& row_of(Format format);
inline std::string_view name_of(Format format) { return row_of(format).name; }
inline bool is_binary(Format format) { return row_of(format).binary; }

/// Which query rows formats show that are cut.
constexpr RowCut table_rows{24, 8, 4};

/// Where bytes go: a file, standard output, a string.
class Output {
  public:
    virtual ~Output() = default;
    /// \throws Error (exit 4) where the bytes cannot be written
    virtual void write(std::string_view bytes) = 0;
    virtual void flush() {}
    /// A file that takes bytes anywhere: then write_at() serves in place of write().
    virtual bool is_seekable() const { return false; }
    /// `offset`: bytes from the start. What is never written in between is zero. \throws as write()
    virtual void write_at(Index /*offset*/, std::string_view /*bytes*/) {}
};

/// How a result is written. Which formats obey which of the first members: FormatRow::obeys.
struct RenderOptions {
    NonFinite nonfinite = NonFinite::string;  ///< CSV as in_csv() says
    bool squeeze = false;                     ///< axes of length 1 are left out
    bool compact = false;                     ///< JSON: one line; LaTeX: a bmatrix, without labels
    bool colour = false;
    bool ascii = false;             ///< no byte above 127: our own marks spelled, other characters escaped
    int width = 80;                 ///< columns of a table
    int precision = 4;              ///< digits after the point
    bool precision_asked = false;   ///< the digits are a wish: small numbers round
    std::optional<int> top;         ///< the largest weights of each row
    std::optional<Index> document;  ///< its number, where there are several
    bool heading = false;           ///< text, Markdown: a heading with the document's name
    std::string source_name;
    bool sums = false;                ///< pictures: sum and entropy of each row
    Colours colours = Colours::none;  ///< pictures: how many colours the terminal has
    bool dark = true;                 ///< pictures: the terminal's ground
    int lines = 64;                   ///< pictures: of the terminal
};

/// The sink that renders a run as `format`. `output` has to outlive it.
std::unique_ptr<Sink> make_sink(Format format, Output& output, const RenderOptions& options);

/// The plan alone, for `check`: text for people, or one JSON object. Returns the warnings of planning, and
/// those that only a look at the plan is worth.
std::vector<std::string> write_plan(Format format, const Plan& plan, Output& output,
                                    const RenderOptions& options);

}  // namespace attn
