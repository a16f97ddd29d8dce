// Positions of a layer: rotary embeddings with their scaling, ALiBi, tables of biases by distance.
#include <array>
#include <cmath>
#include <utility>

#include "lib/error.hpp"
#include "lib/models/layer_reader.hpp"
#include "lib/models/tree.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

using Kind = Value::Kind;

/// A kind of rotary embedding under the name of a document.
std::string_view rope_kind(std::string_view name) {
    if (name == "su") return "longrope";
    if (name == "mrope") return "default";  // of text alone every axis has the token's position
    return name;
}

/// The keys of a kind that a document has under the same names.
std::string_view keys_of(std::string_view kind) {
    if (kind == "linear") return "factor";
    if (kind == "dynamic") return "factor";
    if (kind == "llama3") return "factor low_freq_factor high_freq_factor original_max_position_embeddings";
    if (kind == "yarn")
        return "factor original_max_position_embeddings attention_factor beta_fast beta_slow mscale "
               "mscale_all_dim truncate";
    if (kind == "longrope") return "short_factor long_factor attention_factor";
    if (kind == "proportional") return "factor partial_rotary_factor";
    return "";
}

/// Members of such an object that say nothing about the angles, or that are read elsewhere.
bool says_no_angle(std::string_view name) {
    constexpr std::array known{"rope_type",
                               "type",
                               "rope_theta",
                               "partial_rotary_factor",
                               "mrope_section",
                               "mrope_interleaved",
                               "finetuned",
                               "llama_4_scaling_beta",
                               "rotary_dim",
                               "max_position_embeddings",
                               "original_max_position_embeddings"};
    for (const std::string_view k : known)
        if (k == name) return true;
    return name.starts_with("_") || name.starts_with("$");
}

}  // namespace

ConfigKey LayerReader::rope_dictionary() const {
    const ConfigKey parameters = config_.given("rope_parameters"), scaling = config_.given("rope_scaling");
    config_.find("rope_type");
    const ConfigKey& all = parameters ? parameters : scaling;
    if (!all) return {};
    if (all.value->kind != Kind::object)
        fail(all.pointer(), "is " + all.value->describe() + ", expected an object");
    // One for each type of layer, where the members are objects.
    bool by_type = false;
    for (const auto& [name, member] : all.value->members) by_type = by_type || member.kind == Kind::object;
    if (!by_type) return all;
    const std::string type = slides() ? "sliding_attention" : "full_attention";
    ConfigKey own = config_.below(all, type);
    if (!own && slides()) own = config_.below(all, "local_attention");
    if (!own)
        fail(all.pointer(), "has no " + shown(type) + ", as layer " + std::to_string(layer_) + " is one");
    return own.is_null() ? ConfigKey{} : own;
}

std::optional<Said<double>> LayerReader::rope_number(std::string_view name) const {
    const ConfigKey dictionary = rope_dictionary();
    if (const ConfigKey own = config_.below(dictionary, name); own && !own.is_null())
        return Said<double>{Config::number_of(own), own.name};
    return config_.number(name);
}

ConfigKey LayerReader::rope_or_class() {
    ConfigKey own = rope_dictionary();
    const bool local = slides() && row_.rope.local != LocalRope::same;
    const std::string_view scaling = local ? row_.rope.local_scaling : row_.rope.scaling;
    if (own || config_.find("rope_scaling|rope_parameters") || scaling.empty()) return own;
    class_scaling_ = parse_documents({"", std::string(scaling)}, {DType::float64, false}).front().root;
    return {&class_scaling_, of_class()};
}

/// The scaling of a rotary embedding, as the configuration or the class has it.
void LayerReader::read_scaling(Value& rope, const ConfigKey& from) {
    const bool silent = from.value == &class_scaling_;
    const bool by_type = from && from.name.ends_with("_attention");
    if (!from || (slides() && row_.rope.local != LocalRope::same && !by_type && !silent)) return;
    const auto member = [&](std::string_view name) {
        const Value* v = from.value->find(name);
        return v && v->kind != Kind::null ? v : nullptr;
    };
    const Value* type = member("rope_type") ? member("rope_type") : member("type");
    const std::string name = type ? type->text : "default";
    const std::string_view kind = rope_kind(name);
    if (kind == "default") return;
    const std::string_view keys = keys_of(kind);
    const ConfigKey at_type = config_.below(from, member("rope_type") ? "rope_type" : "type");
    if (keys.empty())
        fail(silent ? "" : at_type.pointer(), "is " + shown(name) + ", a scaling that is not known",
             "known: linear, dynamic, llama3, yarn, longrope, proportional");
    Value scaling = tree_object();
    add_member(scaling, "type", tree_text(kind));
    const auto is_key = [&](std::string_view key) {
        bool is = false;
        each_of(keys, ' ', [&](std::string_view k) { is = is || k == key; });
        return is;
    };
    for (const auto& [key, value] : from.value->members) {
        if (is_key(key) && value.kind != Kind::null) add_member(scaling, key, copy_of(value));
        if (is_key(key) || says_no_angle(key) || value.kind == Kind::null || silent) continue;
        const bool known = key == "factor" || key == "attention_factor" || key == "beta_fast" ||
                           key == "beta_slow" || key == "mscale" || key == "mscale_all_dim" ||
                           key == "low_freq_factor" || key == "high_freq_factor" || key == "short_factor" ||
                           key == "long_factor" || key == "truncate";
        if (known) continue;  // of other kinds: this one does not look at it
        fail_at_key(config_.below(from, key).pointer(),
                    "\"" + clip(visible(key), 60) + "\" is not known in a scaling of type " + shown(name));
    }
    const auto length = [&](std::string_view key) -> std::optional<Value> {
        if (const ConfigKey top = config_.given(key)) return copy_of(*top.value);
        return std::nullopt;
    };
    const auto longest =
        length("max_position_embeddings|n_positions").value_or(tree_integer(row_.rope.longest));
    if (kind == "dynamic") add_member(scaling, "max_position_embeddings", longest);
    if (kind == "yarn" && (!member("original_max_position_embeddings") || !member("factor")))
        add_member(scaling, "max_position_embeddings", longest);
    if (kind == "llama3" && !member("original_max_position_embeddings")) {
        if (auto old = length("original_max_position_embeddings"))
            add_member(scaling, "original_max_position_embeddings", *std::move(old));
    }
    if (kind == "longrope") {
        auto old = length("original_max_position_embeddings");
        if (!old && row_.rope.original > 0) old = tree_number(row_.rope.original);
        if (old) {  // at the top: the factor is the longer length by it, whatever "factor" says
            add_member(scaling, "original_max_position_embeddings", *old);
            add_member(scaling, "max_position_embeddings", longest);
        } else if (const Value* inside = member("original_max_position_embeddings")) {
            add_member(scaling, "original_max_position_embeddings", copy_of(*inside));
            if (const Value* factor = member("factor"))  // which then counts
                add_member(scaling, "max_position_embeddings", tree_number(factor->real * inside->real));
            else
                add_member(scaling, "max_position_embeddings", longest);
        } else {
            add_member(scaling, "max_position_embeddings", longest);
            if (const Value* factor = member("factor")) add_member(scaling, "factor", copy_of(*factor));
        }
    }
    add_member(rope, "scaling", std::move(scaling));
    add_member(from_, "rope.scaling", tree_text(from.name));
}

void LayerReader::read_rope() {
    const RopeRow& row = row_.rope;
    const bool has_window = [&] {
        const ConfigKey key = config_.find(row_.window_keys);
        return key ? !key.is_null() : row_.window > 0;
    }();
    bool none = (row.without == NoRope::full && !slides()) ||
                (row.without == NoRope::full_with_window && !slides() && has_window);
    if (row.without == NoRope::listed) {
        const ConfigKey list = config_.given("no_rope_layers");
        if (list) {
            const std::vector<Value> items = Config::list_of(list);
            if (!items.empty()) {
                if (items.size() <= static_cast<std::size_t>(layer_))
                    fail(list.pointer(), "has no entry for layer " + std::to_string(layer_));
                none = items[static_cast<std::size_t>(layer_)].integer == 0;
            }
        }
        if (!list || Config::list_of(list).empty()) {
            const auto each = config_.integer("no_rope_layer_interval", 1);
            none = (layer_ + 1) % (each ? each->value : row.interval) == 0;
        }
    }
    if (none) return;
    const ConfigKey dictionary = rope_or_class();
    const bool by_type = dictionary && dictionary.name.ends_with("_attention");
    const bool local = slides() && row.local == LocalRope::own && !by_type;
    Value rope = tree_object();
    Said<double> base{local ? row.local_base : row.base, of_class()};
    if (const ConfigKey own = config_.below(dictionary, "rope_theta"); own && !own.is_null() && !local) {
        base = {Config::number_of(own), own.name};
    } else if (const auto top = config_.number(local ? row.local_keys : row.base_keys)) {
        base = *top;
    }
    config_.find(row.base_keys);
    config_.find(row.local_keys);
    add_member(rope, "base", tree_number(base.value));
    add_member(rope, "pairs", tree_text(row.interleaved && !halves_ ? "interleaved" : "half"));
    Said<double> share{row.share, of_class()};
    const ConfigKey own = config_.below(dictionary, "partial_rotary_factor");
    if (own && !own.is_null()) {
        share = {Config::number_of(own), own.name};
    } else if (const auto top = config_.number(row.share_keys)) {
        share = *top;
    }
    const Value* type = dictionary ? dictionary.value->find("rope_type") : nullptr;
    const bool whole = type && type->text == "proportional";
    auto dims = static_cast<Index>(static_cast<double>(sizes_.dim.value) * (whole ? 1 : share.value));
    std::string from = share.from;
    const ConfigKey own_dims = config_.below(dictionary, "rotary_dim");
    if (own_dims && !own_dims.is_null()) {
        dims = Config::integer_of(own_dims, 2);
        from = own_dims.name;
    } else if (const auto given = config_.integer(row.dims_keys, 2)) {
        dims = given->value;
        from = given->from;
    } else if (row.dims > 0) {
        dims = row.dims;
    }
    add_member(rope, "dims", tree_integer(dims));
    if (row.reverse) add_member(rope, "reverse", tree_boolean(true));
    read_scaling(rope, dictionary);
    set("rope", std::move(rope), "base: " + base.from + ", dims: " + from);
}

void LayerReader::read_positions() {
    if (row_.rope.present) read_rope();
    if (row_.alibi) set("alibi", tree_boolean(true), of_class());
    if (row_.buckets.empty()) return;
    std::string end = with_number(row_.buckets, layer_) + ".weight", found;
    for (const std::string& name : folder_.names())
        if (name.ends_with(end) && (name.size() == end.size() || name[name.size() - end.size() - 1] == '.'))
            found = name;
    if (found.empty())
        fail("", "has no tensor whose name ends with " + shown(end) + ", the biases by distance");
    const auto reach = config_.integer("relative_attention_max_distance", 1);
    config_.find("relative_attention_num_buckets");
    Value bias = tree_object();
    add_member(bias, "buckets", reference(found));
    add_member(bias, "max_distance", tree_integer(reach ? reach->value : row_.bucket_reach));
    add_member(bias, "bidirectional", tree_boolean(row_.buckets_both_ways));
    set("position_bias", std::move(bias), reach ? reach->from : of_class());
}

}  // namespace attn
