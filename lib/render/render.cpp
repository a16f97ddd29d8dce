#include "lib/render/render.hpp"

#include <algorithm>
#include <array>

#include "lib/render/traces/trace_sinks.hpp"

namespace attn {
namespace {

constexpr std::array<std::string_view, 10> names{"text", "json", "ndjson",      "csv", "torch",
                                                 "npz",  "npy",  "safetensors", "md",  "tex"};
constexpr std::array<std::string_view, 2> later_names{"html", "svg"};

}  // namespace

std::optional<Format> format_named(std::string_view name) {
    for (std::size_t k = 0; k < names.size(); ++k)
        if (names[k] == name) return static_cast<Format>(k);
    return std::nullopt;
}

bool is_later_format(std::string_view name) {
    return std::find(later_names.begin(), later_names.end(), name) != later_names.end();
}

std::string_view name_of(Format format) { return names[static_cast<std::size_t>(format)]; }
std::span<const std::string_view> format_names() { return names; }

std::unique_ptr<Sink> make_sink(Format format, Output& output, const RenderOptions& options) {
    switch (format) {
        case Format::text:
            return make_text(output, options);
        case Format::json:
            return make_json(output, options);
        case Format::ndjson:
            return make_ndjson(output, options);
        case Format::csv:
            return make_csv(output);
        case Format::torch:
            return make_torch(output, options);
        case Format::npz:
        case Format::npy:
        case Format::safetensors:
            return make_tensors(format, output, options.squeeze);
        case Format::md:
            return make_markdown(output, options);
        case Format::tex:
            return make_latex(output, options);
    }
    return nullptr;
}

}  // namespace attn
