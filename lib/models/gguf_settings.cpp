// Keys of GGUF metadata (ggml docs/gguf.md; llama.cpp src/llama-arch.cpp) as those of config.json.
#include "lib/models/gguf_settings.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/error.hpp"
#include "lib/models/tree.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

struct GgufKey {
    std::string_view name;  ///< behind "ARCHITECTURE."
    std::string_view ours;  ///< of config.json; empty: it changes no attention
};
/// THE TABLE of keys whose value is a setting as it stands.
constexpr std::array gguf_keys{
    GgufKey{"embedding_length", "hidden_size"},
    GgufKey{"block_count", "num_hidden_layers"},
    GgufKey{"context_length", "max_position_embeddings"},
    GgufKey{"attention.head_count", "num_attention_heads"},
    GgufKey{"attention.head_count_kv", "num_key_value_heads"},
    GgufKey{"attention.key_length", "head_dim"},
    GgufKey{"attention.value_length", "v_head_dim"},
    GgufKey{"attention.layer_norm_rms_epsilon", "rms_norm_eps"},
    GgufKey{"attention.layer_norm_epsilon", "layer_norm_eps"},
    GgufKey{"attention.sliding_window", "sliding_window"},
    GgufKey{"attention.sliding_window_pattern", "sliding_window_pattern"},
    GgufKey{"attention.scale", "attention_multiplier"},
    GgufKey{"attn_logit_softcapping", "attn_logit_softcapping"},
    GgufKey{"rope.freq_base", "rope_theta"},
    GgufKey{"rope.freq_base_swa", "rope_local_base_freq"},
    GgufKey{"rope.dimension_count", "rotary_dim"},
    GgufKey{"rope.scaling.finetuned", ""},
    GgufKey{"final_logit_softcapping", ""},
};

/// A float32 as the decimal that it was written from.
double decimal_of(const Numbers& numbers, Index k) {
    if (numbers.element() != Element::float32) return numbers[k];
    std::array<char, 40> text{};
    const auto done = std::to_chars(text.data(), text.data() + text.size(), static_cast<float>(numbers[k]));
    double out = numbers[k];
    std::from_chars(text.data(), done.ptr, out);
    return out;
}

bool is_whole(Element e) { return e != Element::float32 && e != Element::float64 && e != Element::boolean; }

Value scalar_of(const GgufPair& pair, Index k) {
    if (pair.is_text) return tree_text(pair.texts[idx(k)]);
    const Element element = pair.numbers.element();
    if (element == Element::boolean) return tree_boolean(pair.numbers[k] != 0);
    return is_whole(element) ? tree_integer(static_cast<Index>(pair.numbers[k]))
                             : tree_number(decimal_of(pair.numbers, k));
}

Value value_of(const GgufPair& pair) {
    if (!pair.is_array) return scalar_of(pair, 0);
    std::vector<Value> items;
    const Index count = pair.is_text ? static_cast<Index>(pair.texts.size()) : pair.numbers.size();
    for (Index k = 0; k < count; ++k) items.push_back(scalar_of(pair, k));
    return tree_list(std::move(items));
}

/// Reads the metadata into an object.
class SettingsReader {
  public:
    SettingsReader(const ModelFolder& model, Index layer)
        : model_(model), layer_(layer), prefix_(gguf_architecture(model) + ".") {
        out_.config = tree_object();
    }

    GgufSettings read() {
        for (const GgufPair& pair : *model_.metadata()) {
            if (!pair.key.starts_with(prefix_)) continue;
            const std::string_view name = std::string_view(pair.key).substr(prefix_.size());
            const auto key = std::find_if(gguf_keys.begin(), gguf_keys.end(),
                                          [&](const GgufKey& k) { return k.name == name; });
            if (key != gguf_keys.end()) {
                if (!key->ours.empty()) add_setting(pair, key->ours);
            } else if (name == "attention.causal") {
                if (!pair.is_array && !pair.is_text && pair.numbers[0] == 0)
                    add("use_bidirectional_attention", tree_boolean(true), pair.key);
            } else if (!is_of_scaling(name)) {
                add(pair.key, value_of(pair), pair.key);
            }
        }
        read_width();
        read_scaling();
        return std::move(out_);
    }

  private:
    const GgufPair* pair(std::string_view name) const {
        for (const GgufPair& p : *model_.metadata())
            if (p.key.size() == prefix_.size() + name.size() && p.key.starts_with(prefix_) &&
                p.key.ends_with(name))
                return &p;
        return nullptr;
    }

    std::optional<double> number(std::string_view name) const {
        const GgufPair* p = pair(name);
        if (!p || p->is_array || p->is_text) return std::nullopt;
        return decimal_of(p->numbers, 0);
    }

    void add(std::string_view name, Value value, std::string said) {
        add_member(out_.config, name, std::move(value));
        out_.said.emplace(name, std::move(said));
    }

    void add_setting(const GgufPair& pair, std::string_view ours) {
        if (pair.is_array && ours == "sliding_window_pattern") {
            std::vector<Value> types;
            for (Index k = 0; k < pair.numbers.size(); ++k)
                types.push_back(tree_text(pair.numbers[k] != 0 ? "sliding_attention" : "full_attention"));
            return add("layer_types", tree_list(std::move(types)), pair.key);
        }
        if (pair.is_array) {
            if (pair.is_text || layer_ >= pair.numbers.size())
                fail("/" + pair.key,
                     "has " + how_many(static_cast<Index>(pair.numbers.size()), "number", "numbers") +
                         ", and layer " + std::to_string(layer_) + " is asked for");
            return add(ours, scalar_of(pair, layer_), pair.key);
        }
        // No window is written as one of 0.
        if (ours == "sliding_window" && !pair.is_text && pair.numbers[0] == 0) return;
        add(ours, scalar_of(pair, 0), pair.key);
    }

    /// Files without embedding_length: the rows of the output's matrix.
    void read_width() {
        if (out_.config.find("hidden_size")) return;
        const std::string name = "blk." + std::to_string(layer_) + ".attn_output.weight";
        if (!model_.has(name)) return;
        const ModelTensor t = model_.tensor(name);
        if (t.shape.size() == 2) add("hidden_size", tree_integer(t.shape[0]), "the rows of " + name);
    }

    static bool is_of_scaling(std::string_view name) {
        constexpr std::array read{"rope.scaling.type",           "rope.scaling.factor",
                                  "rope.scale_linear",           "rope.scaling.original_context_length",
                                  "rope.scaling.attn_factor",    "rope.scaling.yarn_attn_factor",
                                  "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"};
        return std::find(read.begin(), read.end(), name) != read.end();
    }

    std::vector<Value> factors(const std::string& tensor) const {
        const Numbers numbers = model_.numbers(tensor);
        std::vector<Value> out;
        for (Index k = 0; k < numbers.size(); ++k) out.push_back(tree_number(decimal_of(numbers, k)));
        return out;
    }

    void read_scaling() {
        const GgufPair* const named = pair("rope.scaling.type");
        std::string type =
            named && named->is_text && !named->is_array ? std::string(named->texts[0]) : "none";
        std::optional<double> factor = number("rope.scaling.factor");
        if (!factor) factor = number("rope.scale_linear");
        if (!named && factor && *factor != 1) type = "linear";
        const auto original = number("rope.scaling.original_context_length");
        std::optional<double> amplitude = number("rope.scaling.yarn_attn_factor");
        if (!amplitude) amplitude = number("rope.scaling.attn_factor");
        std::string said = named ? named->key : prefix_ + "rope.scaling.factor";
        Value scaling = tree_object();
        const auto whole = [&](double n) { return tree_integer(static_cast<Index>(std::llround(n))); };
        // Factors of the frequencies: one for each pair, or two sets of them (llama.cpp: get_rope_factors).
        const std::string all = "rope_freqs.weight", longer = "rope_factors_long.weight",
                          shorter = "rope_factors_short.weight";
        if (model_.has(all) || (model_.has(longer) && model_.has(shorter))) {
            const bool one = model_.has(all);
            if (type != "none" && type != "longrope")
                fail("/" + said, "is " + shown(type) + ", beside factors of the frequencies (" +
                                     (one ? all : longer) + "): one of them is read");
            said = one ? all : longer + ", " + shorter;
            add_member(scaling, "rope_type", tree_text("longrope"));
            add_member(scaling, "short_factor", tree_list(factors(one ? all : shorter)));
            add_member(scaling, "long_factor", tree_list(factors(one ? all : longer)));
            add_member(scaling, "attention_factor", tree_number(one ? 1 : amplitude.value_or(1)));
            if (original)
                add("original_max_position_embeddings", whole(*original),
                    prefix_ + "rope.scaling.original_context_length");
        } else if (type == "linear" || type == "yarn") {
            if (!factor)
                fail("/" + said,
                     "is " + shown(type) + ", but there is no " + prefix_ + "rope.scaling.factor");
            add_member(scaling, "rope_type", tree_text(type));
            add_member(scaling, "factor", tree_number(*factor));
            if (type == "yarn") {
                if (original) add_member(scaling, "original_max_position_embeddings", whole(*original));
                // llama.cpp's is a factor on the usual one.
                if (amplitude)
                    add_member(scaling, "attention_factor",
                               tree_number(*amplitude * (0.1 * std::log(*factor) + 1)));
                for (const auto& [theirs, ours] : {std::pair{"rope.scaling.yarn_beta_fast", "beta_fast"},
                                                   {"rope.scaling.yarn_beta_slow", "beta_slow"}})
                    if (const auto n = number(theirs)) add_member(scaling, ours, tree_number(*n));
            }
        } else if (type != "none") {
            fail("/" + said, "is " + shown(type) + ", a scaling that is not read here",
                 "known: none, linear, yarn, longrope");
        } else {
            return;
        }
        add("rope_scaling", std::move(scaling), said);
    }

    const ModelFolder& model_;
    Index layer_;
    std::string prefix_;
    GgufSettings out_;
};

}  // namespace

std::string gguf_architecture(const ModelFolder& model) {
    for (const GgufPair& pair : *model.metadata())
        if (pair.key == "general.architecture" && pair.is_text && !pair.is_array)
            return std::string(pair.texts[0]);
    fail("", "has no key general.architecture, which says how its tensors are read");
}

GgufSettings read_gguf_settings(const ModelFolder& model, Index layer) {
    return SettingsReader(model, layer).read();
}

}  // namespace attn
