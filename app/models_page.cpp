// The table of docs/models.md.
#include <string>
#include <string_view>
#include <vector>

#include "app/pages.hpp"
#include "lib/models/architecture.hpp"
#include "lib/models/config.hpp"
#include "lib/render/escape.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

/// Names of keys: the first, which is the usual one.
std::string key(std::string_view keys) { return markdown_code(keys.substr(0, keys.find('|'))); }

std::string number(double n) { return significant(n, 9); }

std::string modules_in_words(std::string_view modules) {
    std::string names;
    each_of(modules, ' ', [&](std::string_view spec) {
        while (!spec.empty() && (spec.front() == '?' || spec.front() == '!')) spec.remove_prefix(1);
        const std::string_view path = spec.substr(0, spec.find_first_of("=|"));
        names += (names.empty() ? "" : ", ") + markdown_code(path.starts_with("/") ? path.substr(1) : path);
    });
    return names;
}

/// The tensors of a layer, with what stands before and behind the number of the layer.
std::string tensors(const Architecture& a) {
    return markdown_code(replaced(a.layer, "{}", "N") + "." + std::string(a.attention)) + ": " +
           modules_in_words(a.modules);
}

std::string heads(const Architecture& a) {
    std::string out = std::to_string(a.heads);
    if (a.kv == KvHeads::from_key) out += ", " + (a.kv_heads == 0 ? "as many" : std::to_string(a.kv_heads));
    if (a.kv == KvHeads::one_if_multi) out += ", 1";
    return out + (a.dim > 0 ? ", " + std::to_string(a.dim) + " wide" : "");
}

std::string positions(const Architecture& a) {
    if (a.alibi) return "ALiBi";
    if (!a.buckets.empty()) return "buckets of distances";
    if (!a.rope.present) return "none here";
    const RopeRow& r = a.rope;
    std::string out = "rotary, base " + number(r.base);
    if (r.local == LocalRope::own) out += " (" + number(r.local_base) + " where it slides)";
    if (r.share != 1) out += ", " + number(r.share) + " of the columns";
    if (r.dims > 0) out += ", " + std::to_string(r.dims) + " columns";
    if (r.interleaved) out += ", neighbours";
    if (r.reverse) out += ", reversed";
    if (!r.scaling.empty()) out += ", scaled";
    if (r.without != NoRope::never) out += "; not in every layer";
    return out;
}

std::string mask(const Architecture& a) {
    std::string out = a.causal ? "causal" : "none";
    const std::string window =
        key(a.window_keys) + (a.window > 0 ? " (" + std::to_string(a.window) + ")" : std::string());
    switch (a.windows) {
        case WindowRule::none:
            return out;
        case WindowRule::every:
        case WindowRule::unless_listed:
            return out + ", " + window + " in every layer";
        case WindowRule::from_layer:
            return out + ", " + window + " in late layers";
        case WindowRule::all_but:
        case WindowRule::first_of:
        case WindowRule::listed:
            return out + ", " + window + " but in one layer of " + std::to_string(a.pattern);
        case WindowRule::unrolled:
            return out + ", " + window + " in every other layer";
    }
    return out;
}

std::string norms(const Architecture& a) {
    std::string out;
    if (a.norm.type == NormRow::none) out = "none";
    if (a.norm.type != NormRow::none)
        out = (a.norm.type == NormRow::rms ? std::string("rms") : std::string("layer")) +
              (a.norm.plus_one ? ", weight less one" : "") +
              (a.norm.has_weight ? ", " + key(a.norm.module) : ", no weight") + ", eps " + number(a.norm.eps);
    if (a.qk_norm.type == NormRow::none) return out;
    return out + "; of queries and keys: " + (a.qk_norm.type == NormRow::rms ? "rms" : "layer") +
           (a.qk_norm.over_width ? " over the width" : "") +
           (a.qk_norm.key.empty() ? "" : " if " + markdown_code(a.qk_norm.key));
}

std::string scale(const Architecture& a) {
    switch (a.scale_rule) {
        case ScaleRule::usual:
            return "";
        case ScaleRule::none:
            return "no scale. ";
        case ScaleRule::key:
            return "scale " + key(a.scale_keys) + ". ";
        case ScaleRule::root_key:
            return "scale 1/√" + key(a.scale_keys) + ". ";
        case ScaleRule::one:
            return "scale 1. ";
    }
    return "";
}

}  // namespace

std::string architectures_page() {
    std::string out =
        "| model type | tensors of layer N | heads, of keys, width where `config.json` is silent | positions "
        "| "
        "mask | norm before | traps |\n| --- | --- | --- | --- | --- | --- | --- |\n";
    for (const Architecture& a : all_architectures()) {
        std::string said = scale(a);
        if (!a.said.empty()) said += markdown_text(a.said) + ".";
        while (!said.empty() && said.back() == ' ') said.pop_back();
        const std::string of = a.stack == "text" ? "" : ", " + std::string(a.stack);
        out += "| " + markdown_code(a.type) + of +
               (a.kind.empty() ? "" : ", layers of " + markdown_code(a.kind)) + " | " + tensors(a) + " | " +
               heads(a) + " | " + positions(a) + " | " + mask(a) + " | " + norms(a) + " | " + said + " |\n";
    }
    out +=
        "\nOf GGUF files (`general.architecture`), read as a row above:\n\n"
        "| architecture | read as | tensors below `blk.N.attn_` | rows of queries and keys |\n"
        "| --- | --- | --- | --- |\n";
    for (const GgufRow& row : all_gguf_rows())
        out += "| " + markdown_code(row.name) + " | " + markdown_code(row.type) + " | " +
               modules_in_words(row.modules) + " | " +
               (row.interleaved_rows ? "neighbours, put back" : "as in the model's folder") + " |\n";
    return out;
}

}  // namespace attn
