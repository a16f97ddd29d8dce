// Layers in names of arrays and files.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/theirs/names.hpp"

namespace attn {
namespace {

bool is_number(std::string_view text) {
    return !text.empty() && text.size() < 10 &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// Whether a word is one for the layers of a model.
bool is_layer_word(std::string_view word) {
    constexpr std::array<std::string_view, 9> words{"layer", "layers", "block",     "blocks",  "blk",
                                                    "h",     "l",      "resblocks", "document"};
    return std::find(words.begin(), words.end(), word) != words.end();
}

template <class Use>
void each_part(std::string_view text, std::string_view between, Use use) {
    for (std::size_t from = 0; from <= text.size();) {
        const std::size_t end = std::min(text.find_first_of(between, from), text.size());
        if (end > from) use(text.substr(from, end - from));
        from = end + 1;
    }
}

}  // namespace

std::optional<Index> layer_number(std::string_view part) {
    const std::size_t digits = part.find_last_not_of("0123456789") + 1;
    std::string_view word = part.substr(0, digits);
    if (!is_number(part.substr(digits))) return std::nullopt;
    while (word.ends_with('_') || word.ends_with('-')) word.remove_suffix(1);
    if (!word.empty() && !is_layer_word(word)) return std::nullopt;
    return std::stoll(std::string(part.substr(digits)));
}

SplitName split_name(std::string_view name) {
    SplitName out;
    std::size_t from = 0;
    bool by_word = false;  // "block.3.layer.0": the first number behind such a word is the layer's
    std::string_view before;
    while (true) {
        const std::size_t end = std::min(name.find_first_of("./", from), name.size());
        const std::string_view part = name.substr(from, end - from);
        if (end == name.size()) {
            out.stage = part;
            break;
        }
        if (const auto number = layer_number(part); number && !by_word) {
            out.layer = name.substr(0, end);
            out.number = number;
            by_word = is_layer_word(before) || !is_number(part);
        }
        before = part;
        from = end + 1;
    }
    out.path = name;
    std::replace(out.path.begin(), out.path.end(), '/', '.');
    // kq_soft_max-3
    const std::size_t dash = out.stage.rfind('-');
    if (!out.number && dash != std::string::npos && is_number(std::string_view(out.stage).substr(dash + 1))) {
        out.number = std::stoll(out.stage.substr(dash + 1));
        out.layer = "layer " + std::to_string(*out.number);
        out.path.resize(out.path.size() - (out.stage.size() - dash));
        out.stage.resize(dash);
    }
    return out;
}

bool is_of_stack(std::string_view name, std::string_view stack) {
    struct Word {
        std::string_view part, stack;
    };
    constexpr std::array words{
        Word{"encoder_attn", "cross"},   Word{"cross_attn", "cross"},    Word{"EncDecAttention", "cross"},
        Word{"crossattention", "cross"}, Word{"self_attn", "self"},      Word{"SelfAttention", "self"},
        Word{"vision_model", "vision"},  Word{"vision_tower", "vision"}, Word{"visual", "vision"},
        Word{"language_model", "text"},  Word{"text_model", "text"},     Word{"encoder", "encoder"},
        Word{"decoder", "decoder"}};
    bool fits = true;
    each_part(name, "./", [&](std::string_view part) {
        for (const Word& word : words) {
            if (word.part != part) continue;
            const std::string_view of = word.stack;
            if (of == "cross") fits = fits && stack == "cross";
            if (of == "self") fits = fits && stack != "cross";
            if (of == "vision") fits = fits && stack == "vision";
            if (of == "text") fits = fits && stack != "vision";
            // A model of one stack may call it an encoder, or a decoder.
            if (of == "encoder") fits = fits && stack != "decoder" && stack != "cross";
            if (of == "decoder") fits = fits && stack != "encoder";
        }
    });
    return fits;
}

LayerOfFile layer_of_file(std::string_view stem) {
    LayerOfFile out;
    const SplitName whole = split_name(stem);
    const bool known = is_stage_path(whole.path) || stage_named(whole.stage);
    // "2024-06" has a number behind a dash, and none of a layer.
    if (whole.number && (known || whole.path.size() == stem.size())) {
        out.number = whole.number;
        if (known) out.array = stem;
        return out;
    }
    // Words and numbers; a number behind a word for layers goes before one that is the only one.
    std::vector<std::string_view> words;
    each_part(stem, "._-", [&](std::string_view word) { words.push_back(word); });
    std::size_t at = words.size(), numbers = 0, from = 0;
    for (std::size_t k = 0; k < words.size(); ++k) {
        if (!layer_number(words[k])) continue;
        const bool by_word = !is_number(words[k]) || (k > 0 && is_layer_word(words[k - 1]));
        if (by_word && out.number) return {};
        ++numbers;
        if (by_word) out.number = layer_number(words[k]);
        if (by_word || !out.number) {
            at = k;
            from = k > 0 && is_number(words[k]) && is_layer_word(words[k - 1]) ? k - 1 : k;
        }
    }
    if (!out.number && numbers == 1) out.number = layer_number(words[at]);
    if (!out.number) return {};
    std::string rest;
    for (std::size_t k = 0; k < words.size(); ++k)
        if (k < from || k > at) rest += (rest.empty() ? "" : "_") + std::string(words[k]);
    if (is_stage_path(rest)) out.array = rest;
    return out;
}

}  // namespace attn
