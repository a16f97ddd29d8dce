#include "lib/render/pictures/page_data.hpp"

#include <cmath>

#include "lib/error.hpp"
#include "lib/option_words.hpp"
#include "lib/render/base64.hpp"
#include "lib/render/json_text.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

std::string stage_json(const PageStage& s, std::size_t& blocks) {
    JsonMembers kept;
    if (s.has_block()) {
        kept.emplace_back("block", std::to_string(blocks++));
        if (s.packed) kept.emplace_back("packed", "true");
    } else {
        kept.emplace_back("like", json_string(s.like));
        if (s.times) kept.emplace_back("times", json_number(*s.times));
        if (!s.minus.empty()) kept.emplace_back("minus", json_string(s.minus));
    }
    if (!s.fill.empty()) kept.emplace_back("fill", json_string(s.fill));
    std::vector<std::string> reads;
    for (const Stage r : s.reads) reads.emplace_back(info_of(r).name);
    Shape axes;
    for (const std::size_t k : s.axes) axes.push_back(static_cast<Index>(k));
    return json_object({{"name", json_string(visible(s.name))},
                        {"formula", json_string(s.formula)},
                        {"axes", json_indices(axes)},
                        {"shape", json_indices(s.shape)},
                        {"type", json_string(name_of(s.dtype))},
                        {"kept", json_object(kept)},
                        {"ramp", s.scale.ramp == Ramp::sequential ? "\"sequential\"" : "\"diverging\""},
                        {"from", json_number(s.scale.low)},
                        {"to", json_number(s.scale.high)},
                        {"reads", json_strings(reads)},
                        {"masked", s.masked ? "true" : "false"}});
}

}  // namespace

void refuse_large_page(const std::string& file, double bytes) {
    Error error(Exit::input, "",
                "as one page of HTML would be " + std::to_string(static_cast<Index>(std::ceil(bytes / 1e6))) +
                    " MB or more, and 64 are the most",
                option::stages + " weights, " + option::heads + " 0 or " + option::rows + " 0:64 show less");
    error.place.file = file;
    throw error;
}

std::string stages_json(const PageStages& stages, std::size_t& blocks) {
    std::string out;
    for (const PageStage& s : stages.all()) out += (out.empty() ? "" : ",\n") + stage_json(s, blocks);
    return "[" + out + "]";
}

std::string axes_json(const PageStages& stages) {
    std::string out;
    for (const std::string& a : stages.axes()) out += (out.empty() ? "" : ",\n") + a;
    return "[" + out + "]";
}

std::string ramps_json() {
    const auto table = [](Ramp ramp, Ground ground) {
        constexpr int last = 255;
        std::string bytes, out;
        for (int k = 0; k <= last; ++k) {
            const Rgb c = colour_at(ramp, static_cast<double>(k) / last, ground);
            for (const std::uint8_t channel : {c.red, c.green, c.blue}) bytes += static_cast<char>(channel);
        }
        append_base64(out, bytes);
        return json_string(out);
    };
    const auto both = [&](Ramp ramp) {
        return json_object({{"light", table(ramp, Ground::light)}, {"dark", table(ramp, Ground::dark)}});
    };
    return json_object({{"sequential", both(Ramp::sequential)}, {"diverging", both(Ramp::diverging)}});
}

void write_block(Output& output, std::size_t number, std::string_view bytes) {
    output.write("<script type=\"text/plain\" id=\"block" + std::to_string(number) + "\">");
    constexpr std::size_t piece = 3 << 16;
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        text.clear();
        append_base64(text, bytes.substr(at, piece));
        output.write(text);
    }
    output.write("</script>\n");
}

}  // namespace attn
