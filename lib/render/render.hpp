#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/render/numbers/number.hpp"
#include "lib/run/sink.hpp"

namespace attn {

enum class Format { text, json, ndjson, csv, torch, npz, npy, safetensors, md, tex };

/// The format of a name, or nothing.
std::optional<Format> format_named(std::string_view name);
/// Whether a name is that of a format of a later release: refused by name.
bool is_later_format(std::string_view name);

std::string_view name_of(Format format);
/// Every format, by name.
std::span<const std::string_view> format_names();
/// No text: nothing for a terminal.
constexpr bool is_binary(Format format) {
    return format == Format::npz || format == Format::npy || format == Format::safetensors;
}

/// Where bytes go: a file, standard output, a string.
class Output {
  public:
    virtual ~Output() = default;
    /// \throws Error (exit 4) where the bytes cannot be written
    virtual void write(std::string_view bytes) = 0;
    virtual void flush() {}
    /// A file that takes bytes anywhere: then write_at() serves in place of write().
    virtual bool is_seekable() const { return false; }
    /// `place`: bytes from the start. What is never written in between is zero. \throws as write()
    virtual void write_at(Index /*place*/, std::string_view /*bytes*/) {}
};

struct RenderOptions {
    NonFinite nonfinite = NonFinite::string;
    bool squeeze = false;           ///< JSON, torch, binary: axes of length 1 are left out
    bool compact = false;           ///< JSON: one line; LaTeX: a bmatrix, without labels
    bool colour = false;            ///< text
    bool ascii = false;             ///< text: our own marks in ASCII, other characters escaped
    int width = 80;                 ///< text, Markdown, LaTeX: columns of a table
    int precision = 4;              ///< text, Markdown, LaTeX: digits after the point
    std::optional<int> top;         ///< text: the largest weights of each row
    std::optional<Index> document;  ///< its number, where there are several
    bool heading = false;           ///< text, Markdown: a heading with the document's name
    std::string source_name;
};

/// The sink that renders a run as `format`. `output` has to outlive it.
std::unique_ptr<Sink> make_sink(Format format, Output& output, const RenderOptions& options);

/// The plan alone, for `check`: text for people, or one JSON object. Returns the warnings of planning, and
/// those that only a look at the plan is worth.
std::vector<std::string> write_plan(Format format, const Plan& plan, Output& output,
                                    const RenderOptions& options);

}  // namespace attn
