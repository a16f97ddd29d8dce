#include "lib/models/layer_reader.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "lib/error.hpp"
#include "lib/input/weight_names.hpp"
#include "lib/models/tree.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::array order{"comment",     "variant",     "embeddings",   "embeddings_norm", "key_embeddings",
                           "weights",     "num_heads",   "num_kv_heads", "num_value_heads", "conv",
                           "clip_qkv",    "qk_norm",     "value_norm",   "value_scale",     "rope",
                           "query_scale", "feature_map", "map_values",   "decay",           "beta_factor",
                           "scale",       "softcap",     "alibi",        "position_bias",   "causal",
                           "window",      "chunk",       "empty_rows",   "sinks",           "gate"};

std::size_t place_of(const std::string& name) {
    return static_cast<std::size_t>(std::find(order.begin(), order.end(), name) - order.begin());
}

/// A module of a row, read: "?!/x.y|z=name".
struct Module {
    std::string_view paths, name;
    bool optional = false, by_itself = false;

    explicit Module(std::string_view spec) {
        while (!spec.empty() && (spec.front() == '?' || spec.front() == '!')) {
            (spec.front() == '?' ? optional : by_itself) = true;
            spec.remove_prefix(1);
        }
        const std::size_t equals = spec.find('=');
        paths = spec.substr(0, equals);
        name = equals == std::string_view::npos ? spec : spec.substr(equals + 1);
    }
};

bool is_norm(std::string_view name) { return name == "q_norm" || name == "k_norm"; }

/// Whether a path leads through a tower for pictures or sounds.
bool is_of_tower(std::string_view prefix) {
    constexpr std::array parts{"vision", "visual", "image", "audio", "img_", "vit."};
    return std::any_of(parts.begin(), parts.end(),
                       [&](std::string_view part) { return prefix.find(part) != std::string_view::npos; });
}

}  // namespace

std::string with_number(std::string_view path, Index layer) {
    return replaced(path, "{}", std::to_string(layer));
}

LayerReader::LayerReader(const ModelFolder& folder, const Config& config, const Architecture& row,
                         const LayerAsk& ask, std::string kind, PathOf path)
    : folder_(folder),
      config_(config),
      row_(row),
      layer_(ask.layer),
      are_normed_(ask.are_normed),
      kind_(std::move(kind)),
      path_(std::move(path)),
      states_(ask.states),
      document_(tree_object()),
      weights_(tree_object()),
      from_(tree_object()) {}

LayerStates LayerReader::states() const {
    if (!states_)
        fail("",
             "needs the states that enter the layer: the bias of " + std::string(row_.type) +
                 " depends on what the tokens are",
             option::embeddings + " FILE");
    return states_();
}

std::string LayerReader::of_class() const { return "the default of " + std::string(row_.type); }

Index LayerReader::layers() const {
    const auto n = config_.integer(row_.layers_keys, 1);
    return n ? n->value : layer_ + 1;
}

void LayerReader::set(std::string_view name, Value value, std::string_view from) {
    if (is_set(name) || left_out_.contains(name)) return;
    add_member(document_, name, std::move(value));
    add_member(from_, name, tree_text(from));
}

void LayerReader::set_of_weights(std::string_view name, Value value, std::string_view from) {
    add_member(weights_, name, std::move(value));
    add_member(from_, "weights." + std::string(name), tree_text(from));
}

std::string LayerReader::path_of(std::string_view module) const {
    return module.starts_with("/") ? prefix_ + std::string(module.substr(1))
                                   : prefix_ + std::string(row_.attention) + std::string(module);
}

Value LayerReader::reference(const std::string& tensor) {
    used_.insert(tensor);
    Value out = tree_object();
    add_member(out, "file", tree_text(path_(folder_.tensor(tensor).file)));
    add_member(out, "name", tree_text(tensor));
    return out;
}

void LayerReader::add_weight(const std::string& name, const std::string& tensor) {
    add_member(weights_, name, reference(tensor));
}

void LayerReader::find_prefix() {
    const Index number = row_.number_of ? row_.number_of(config_, layer_) : layer_;
    const std::string layer = with_number(row_.layer, number) + ".";
    const auto n = config_.integer(row_.layers_keys, 1);
    if (n && layer_ >= n->value)
        fail("",
             "has " + how_many(n->value, "layer", "layers") + ", counted from 0 (" + n->from +
                 "): there is no layer " + std::to_string(layer_),
             option::layer + (n->value == 1 ? " 0" : " 0 to " + std::to_string(n->value - 1)));
    std::vector<std::string> ends;
    each_of(row_.modules, ' ', [&](std::string_view spec) {
        const Module module(spec);
        if (!ends.empty() || module.optional) return;
        each_of(module.paths, '|', [&](std::string_view path) {
            const std::string below = path.starts_with("/") ? std::string(path.substr(1))
                                                            : std::string(row_.attention) + std::string(path);
            ends.push_back(layer + below + (module.by_itself ? "" : ".weight"));
        });
    });
    std::vector<std::string> all, own;
    for (const std::string& name : folder_.names())
        for (const std::string& end : ends) {
            if (!name.ends_with(end)) continue;
            std::string before = name.substr(0, name.size() - end.size());
            if (!before.empty() && before.back() != '.') continue;
            if (before.find("mtp.") != std::string::npos) continue;  // layers that predict further tokens
            if (is_of_tower(before) == (row_.stack == "vision")) own.push_back(before);
            all.push_back(std::move(before));
        }
    std::vector<std::string>& found = own.empty() ? all : own;
    if (found.empty()) {
        fail("",
             "has no tensor whose name ends with " + shown(ends.front()) + ", as layer " +
                 std::to_string(layer_) + " of " + std::string(row_.type) + " has it",
             "attn-calc check FILE lists the names in a file of tensors");
    }
    if (found.size() > 1)
        fail("",
             "has two stacks with " + shown(ends.front()) + ": below " + shown(found[0]) + " and " +
                 shown(found[1]),
             option::stack + " says which one");
    prefix_ = found.front() + layer;
}

void LayerReader::read_sizes() {
    const auto integer = [&](std::string_view keys, Index otherwise) {
        const auto found = config_.integer(keys, 1);
        return found ? *found : Said<Index>{otherwise, of_class()};
    };
    sizes_.heads = integer(row_.heads_keys, row_.heads);
    switch (row_.kv) {
        case KvHeads::same:
            config_.find(row_.kv_keys);
            sizes_.kv_heads = {sizes_.heads.value, sizes_.heads.from};
            break;
        case KvHeads::one_if_multi: {
            const auto multi = config_.boolean("multi_query");
            config_.find(row_.kv_keys);
            const bool one = !multi || multi->value;
            sizes_.kv_heads = {one ? 1 : sizes_.heads.value, multi ? multi->from : of_class()};
            break;
        }
        case KvHeads::from_key: {
            const ConfigKey key = config_.find(row_.kv_keys);
            if (key && !key.is_null())
                sizes_.kv_heads = {Config::integer_of(key, 1), key.name};
            else if (key || row_.kv_heads == 0)
                sizes_.kv_heads = {sizes_.heads.value, key ? key.name + ", null: as num_heads" : of_class()};
            else
                sizes_.kv_heads = {row_.kv_heads, of_class()};
            break;
        }
    }
    sizes_.width = integer(row_.width_keys, row_.width).value;
    const ConfigKey dim = config_.find(row_.dim_keys);
    if (dim && !dim.is_null()) {
        sizes_.dim = {Config::integer_of(dim, 1), dim.name};
    } else if (row_.dim > 0 && !dim) {
        sizes_.dim = {row_.dim, of_class()};
    } else {
        sizes_.dim = {sizes_.width / sizes_.heads.value, "width / num_heads"};
    }
    sizes_.value_dim = sizes_.dim;
}

/// The shape that heads and their width ask for.
void LayerReader::check_shape(const std::string& name, const ModelTensor& tensor) const {
    const WeightName* known = weight_named(name);
    if (!known || known->bias || tensor.shape.size() != 2 || is_set("variant")) return;
    const Index heads = sizes_.heads.value, kv = sizes_.kv_heads.value, dim = sizes_.dim.value,
                value_dim = sizes_.value_dim.value;
    const bool in_out = known->family == WeightFamily::gpt2;
    const Index queries = heads * dim * (row_.gate_in_queries ? 2 : 1);
    const auto refuse = [&](Index found, Index wanted, const std::string& what) {
        if (found == wanted) return;
        fail("",
             "has " + shown(tensor.name) + " of " + to_string(tensor.shape) + ", expected " +
                 std::to_string(wanted) + " " + what,
             "heads: " + std::to_string(heads) + " (" + sizes_.heads.from + "), of keys and values " +
                 std::to_string(kv) + " (" + sizes_.kv_heads.from + "), each of " + std::to_string(dim) +
                 " (" + sizes_.dim.from + ")");
    };
    const Index outputs = tensor.shape[in_out ? 1 : 0];
    if (known->role == WeightRole::query) refuse(outputs, queries, "outputs: queries");
    if (known->role == WeightRole::key) refuse(outputs, kv * dim, "outputs: keys");
    if (known->role == WeightRole::value) refuse(outputs, kv * value_dim, "outputs: values");
    if (known->role == WeightRole::packed)
        refuse(outputs, queries + kv * (dim + value_dim), "outputs: queries, keys and values");
    if (known->role == WeightRole::output)
        refuse(tensor.shape[in_out ? 0 : 1], heads * value_dim, "inputs: the joined heads");
}

void LayerReader::read_module(std::string_view spec) {
    const Module module(spec);
    if (is_norm(module.name) && !has_qk_norm_) return;
    std::string found;
    each_of(module.paths, '|', [&](std::string_view path) {
        const std::string at = path_of(path) + (module.by_itself ? "" : ".weight");
        if (found.empty() && folder_.has(at)) found = at;
    });
    if (found.empty()) {
        if (module.optional) return;
        fail("", "has no tensor " +
                     shown(path_of(module.paths.substr(0, module.paths.find('|'))) +
                           (module.by_itself ? "" : ".weight")) +
                     ", which " + std::string(row_.type) + " needs");
    }
    const std::string name = std::string(module.name) + (module.by_itself ? "" : ".weight");
    check_shape(name, folder_.tensor(found));
    add_weight(name, found);
    if (module.by_itself) return;
    const std::string bias = found.substr(0, found.size() - 6) + "bias";
    if (folder_.has(bias)) add_weight(std::string(module.name) + ".bias", bias);
}

void LayerReader::read_weights() {
    each_of(row_.modules, ' ', [&](std::string_view spec) { read_module(spec); });
    // GPT-2 alone keeps its matrices as they are multiplied.
    const bool in_out = weights_.find("c_attn.weight") != nullptr;
    set_of_weights("weight_layout", tree_text(in_out ? "in_out" : "out_in"), of_class());
    if (row_.interleaved_rows)
        set_of_weights(
            "head_rows", tree_text("interleaved"),
            "llama.cpp's converter: rows of queries and keys as pairs of neighbours, put back here");
    if (row_.sinks.empty()) return;
    each_of(row_.sinks, '|', [&](std::string_view name) {
        const std::string tensor = path_of(name);
        if (folder_.has(tensor)) set("sinks", reference(tensor), tensor);
    });
}

void LayerReader::read_mask() {
    const bool all_see = row_.causal && [&] {
        const ConfigKey key = config_.given("use_bidirectional_attention");
        if (!key) return false;
        if (key.value->kind == Value::Kind::string) return key.value->text == "all";
        return Config::boolean_of(key);
    }();
    set("causal", tree_boolean(row_.causal && !all_see),
        all_see ? "use_bidirectional_attention" : of_class());
    if (slides() && !is_set("window")) {
        const ConfigKey key = config_.find(row_.window_keys);
        if (!key.is_null()) {
            const Said<Index> w = key ? Said<Index>{Config::integer_of(key, 1), key.name}
                                      : Said<Index>{row_.window, of_class()};
            if (w.value < 1)
                fail("", "has a layer " + std::to_string(layer_) + " that slides, but " + folder_.settings() +
                             " says no " + std::string(row_.window_keys));
            Value out = tree_object();
            if (row_.both_sides || all_see) {
                // The sum of both sides.
                add_member(out, "left", tree_integer(w.value / 2));
                add_member(out, "right", tree_integer(w.value / 2));
            } else {
                add_member(out, "left", tree_integer(w.value - 1));
            }
            set("window", std::move(out),
                w.from + (row_.both_sides || all_see ? ", both sides" : ", which counts the token itself"));
        }
    }
    // A row whose keys are all hidden is filled with one finite number, and so uniform.
    if (!is_set("sinks") && row_.kind.empty())
        set("empty_rows", tree_text("uniform"), "the finite fill of masks");
}

void LayerReader::read_scores() {
    if (!row_.clip_keys.empty())
        if (const auto c = config_.number(row_.clip_keys)) set("clip_qkv", tree_number(c->value), c->from);
    const double usual = 1 / std::sqrt(static_cast<double>(sizes_.dim.value));
    const auto given = row_.scale_keys.empty() ? std::nullopt : config_.number(row_.scale_keys);
    switch (row_.scale_rule) {
        case ScaleRule::none:
            set("scale", tree_text("none"), of_class());
            break;
        case ScaleRule::one:
            set("scale", tree_number(1), of_class());
            break;
        case ScaleRule::key:
            if (given)
                set("scale", tree_number(given->value), given->from);
            else if (row_.scale > 0)
                set("scale", tree_number(row_.scale), of_class());
            break;
        case ScaleRule::root_key:
            set("scale", tree_number(1 / std::sqrt(given ? given->value : row_.scale)),
                "1/sqrt of " + (given ? given->from : of_class()));
            break;
        case ScaleRule::usual:
            break;
    }
    set("scale", tree_number(usual), "1/sqrt(" + sizes_.dim.from + ")");
    if (!row_.cap_keys.empty()) {
        const ConfigKey key = config_.find(row_.cap_keys);
        if (key && !key.is_null())
            set("softcap", tree_number(Config::number_of(key)), key.name);
        else if (!key && row_.cap > 0)
            set("softcap", tree_number(row_.cap), of_class());
    }
    if (row_.gate_in_queries) {
        Value gate = tree_object();
        add_member(gate, "activation", tree_text("sigmoid"));
        add_member(gate, "from", tree_text("queries"));
        set("gate", std::move(gate), of_class());
    }
}

void LayerReader::read_variant() {
    const Index heads = sizes_.heads.value, kv = sizes_.kv_heads.value;
    set("variant",
        tree_text(row_.stack == "cross" ? "cross_attention"
                  : kv == heads         ? "multi_head"
                  : kv == 1             ? "multi_query"
                                        : "grouped_query"),
        row_.stack == "cross" ? "the stack" : "the numbers of heads");
    set("num_heads", tree_integer(heads), sizes_.heads.from);
    set("num_kv_heads", tree_integer(kv), sizes_.kv_heads.from);
}

void LayerReader::refuse_unread() const {
    // What a row may ask for, whether this layer did or not.
    for (const std::string_view keys :
         {row_.heads_keys, row_.kv_keys, row_.width_keys, row_.dim_keys, row_.window_keys, row_.pattern_keys,
          row_.rope.base_keys, row_.rope.share_keys, row_.rope.dims_keys, row_.rope.local_keys,
          row_.qk_norm.key, row_.norm.unless, row_.scale_keys, row_.cap_keys, row_.clip_keys,
          std::string_view("layer_types|rope_scaling|rope_parameters")})
        config_.find(keys);
    config_.refuse_unread(row_.unread);
    const std::string below = prefix_ + std::string(row_.attention);
    for (const std::string& name : folder_.names()) {
        if (!name.starts_with(below) || used_.contains(name)) continue;
        const std::string rest = name.substr(below.size());
        bool known = false;
        each_of(row_.ignored, ' ', [&](std::string_view module) {
            known = known || rest.starts_with(std::string(module) + ".");
        });
        if (known || is_mask_or_table(rest, folder_.tensor(name).shape)) continue;
        fail("",
             "holds " + shown(name) + ", which nothing here reads for " + std::string(row_.type) +
                 ": without a part of the attention the numbers would be wrong",
             "its model may not be what model_type says; " + option::as_type +
                 " TYPE reads it as another one");
    }
}

Value LayerReader::finished() {
    set("weights", std::move(weights_), "tensors below " + prefix_);
    const std::string comment = "layer " + std::to_string(layer_) + " of " + std::string(row_.type) +
                                (row_.stack == "text" ? "" : ", " + std::string(row_.stack)) +
                                (kind_.empty() ? "" : ", " + kind_) + ". _from says which key of " +
                                folder_.settings() + " each setting came from.";
    Value out = tree_object();
    add_member(out, "comment", tree_text(comment));
    std::stable_sort(document_.members.begin(), document_.members.end(),
                     [](const Member& a, const Member& b) { return place_of(a.name) < place_of(b.name); });
    for (Member& m : document_.members) out.members.push_back(std::move(m));
    add_member(out, "_from", std::move(from_));
    return out;
}

Value LayerReader::read() {
    find_prefix();
    read_sizes();
    read_qk_norm();
    if (row_.more) row_.more(*this);
    read_weights();
    read_norm();
    read_variant();
    read_positions();
    read_mask();
    read_scores();
    refuse_unread();
    return finished();
}

}  // namespace attn
