#include "lib/render/render.hpp"

#include "lib/error.hpp"
#include "lib/option_words.hpp"
#include "lib/plan/half.hpp"
#include "lib/render/pictures/page.hpp"
#include "lib/render/pictures/svg.hpp"
#include "lib/render/sheet/sheet.hpp"
#include "lib/render/traces/trace_sinks.hpp"

namespace attn {
namespace {

constexpr unsigned labelled = obeys_width | obeys_precision | obeys_ascii;

template <Format format>
std::unique_ptr<Sink> tensors(Output& output, const RenderOptions& options) {
    return make_tensors(format, output, options.squeeze);
}

constexpr bool binary = true, readable = false, cut = true, whole = false, bounded = true, grows = false,
               several = true, one = false;

/// THE TABLE of formats, in the order of Format.
constexpr std::array<FormatRow, 13> format_rows{{
    {Format::text,
     "text",
     {"txt", "text"},
     {"plain", "table"},
     readable,
     cut,
     bounded,
     several,
     labelled | obeys_top,
     make_text},
    {Format::json,
     "json",
     {"json"},
     {},
     readable,
     whole,
     grows,
     several,
     obeys_nonfinite | obeys_squeeze | obeys_compact | obeys_ascii,
     make_json},
    {Format::ndjson,
     "ndjson",
     {"ndjson", "jsonl"},
     {"jsonl", "jsonlines"},
     readable,
     whole,
     grows,
     several,
     obeys_nonfinite | obeys_ascii,
     make_ndjson},
    {Format::csv,
     "csv",
     {"csv"},
     {},
     readable,
     whole,
     grows,
     several,
     obeys_nonfinite | obeys_ascii,
     make_csv,
     nullptr,
     csv_header_of_several},
    {Format::torch, "torch", {}, {"pytorch", "pt"}, readable, whole, grows, one, obeys_squeeze, make_torch},
    {Format::npz, "npz", {"npz"}, {"numpy"}, binary, whole, grows, one, obeys_squeeze, tensors<Format::npz>},
    {Format::npy,
     "npy",
     {"npy"},
     {},
     binary,
     whole,
     grows,
     one,
     obeys_squeeze,
     tensors<Format::npy>,
     refuse_many_stages},
    {Format::safetensors,
     "safetensors",
     {"safetensors"},
     {},
     binary,
     whole,
     grows,
     one,
     obeys_squeeze,
     tensors<Format::safetensors>},
    {Format::md, "md", {"md"}, {"markdown"}, readable, cut, bounded, several, labelled, make_markdown},
    {Format::tex,
     "tex",
     {"tex"},
     {"latex"},
     readable,
     cut,
     bounded,
     one,
     labelled | obeys_compact,
     make_latex},
    {Format::svg,
     "svg",
     {"svg"},
     {"picture"},
     readable,
     whole,
     bounded,
     one,
     obeys_precision | obeys_ascii,
     make_svg},
    {Format::xlsx,
     "xlsx",
     {"xlsx"},
     {"excel", "sheet"},
     binary,
     whole,
     bounded,
     one,
     obeys_precision,
     make_sheet,
     refuse_sheet},
    {Format::html,
     "html",
     {"html", "htm"},
     {"web", "page"},
     readable,
     whole,
     bounded,
     one,
     obeys_precision,
     make_page,
     [](const Plan& plan) { refuse_half(plan, "a page"); }},
}};

constexpr bool formats_are_in_order() {
    for (std::size_t k = 0; k < format_rows.size(); ++k)
        if (static_cast<std::size_t>(format_rows[k].format) != k) return false;
    return true;
}
static_assert(formats_are_in_order());

}  // namespace

std::span<const FormatRow> all_formats() { return format_rows; }

const FormatRow& row_of(Format format) { return format_rows[idx(format)]; }

std::unique_ptr<Sink> make_sink(Format format, Output& output, const RenderOptions& options) {
    return row_of(format).make(output, options);
}

}  // namespace attn
