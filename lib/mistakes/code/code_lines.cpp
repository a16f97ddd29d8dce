// The line of code where a mistake is made, in the words of the system whose names somebody uses.
#include "lib/mistakes/code/code_lines.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "lib/input/weight_names.hpp"
#include "lib/plan/weight_resolver.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::array lines{
    CodeLine{"one_head", "{made}"},
    CodeLine{"no_scale", "{scaled}"},
    CodeLine{"scale_d_model", "{scale_set}"},
    CodeLine{"scale_without_root", "{scale_set}"},
    CodeLine{"scale_twice", "{scaled}"},
    CodeLine{"scale_inverted", "{scale_set}"},
    CodeLine{"scale_after_softmax", "{scaled}"},
    CodeLine{"scale_other", "{scale_set}"},
    CodeLine{"no_mask", "{masked}"},
    CodeLine{"no_mask:causal", "{causal}"},
    CodeLine{"no_mask:window", "{window}"},
    CodeLine{"no_mask:key_lengths", "{padding}"},
    CodeLine{"mask_after_softmax", "{masked}"},
    CodeLine{"mask_fill_zero", "{masked}"},
    CodeLine{"mask_strict", "{causal}"},
    CodeLine{"mask_one_future", "{causal}"},
    CodeLine{"mask_inverted", "{masked}"},
    CodeLine{"mask_transposed", "{mask_made}"},
    CodeLine{"causal_alignment", "{causal}"},
    CodeLine{"softmax_over_queries", "{softmax}"},
    CodeLine{"softmax_over_heads", "{softmax}"},
    CodeLine{"no_softmax", "{softmax}"},
    CodeLine{"exp2", "{softmax}"},
    CodeLine{"queries_keys_swapped", "{product}"},
    CodeLine{"keys_values_swapped", "{average}"},
    CodeLine{"values_are_keys", "{value}"},
    CodeLine{"values_are_embeddings", "{value}"},
    CodeLine{"weight_transposed", "{made}"},
    CodeLine{"split_without_transpose", "{made}"},
    CodeLine{"split_interleaved", "{made}"},
    CodeLine{"merge_without_transpose", "{merged}"},
    CodeLine{"weights_transposed", "{average}"},
    CodeLine{"no_bias", "{made}"},
    CodeLine{"no_output_projection", "{project_out}"},
    CodeLine{"no_output_bias", "{project_out}"},
    CodeLine{"kv_heads_tiled", "{repeat}"},
    CodeLine{"rope_pairs", "{turn}"},
    CodeLine{"rope_position", "{positions}"},
    CodeLine{"rope_on_values", "{rotate}"},
    CodeLine{"no_rope", "{rotate}"},
    CodeLine{"rope_queries_only", "{rotate}"},
    CodeLine{"rope_base", "{frequencies}"},
    CodeLine{"rope_scaling", "{rope_scaling}"},
    CodeLine{"rope_factor", "{rope_factor}"},
    CodeLine{"rope_exponent", "{frequencies}"},
    CodeLine{"rope_inverted", "{frequencies}"},
    CodeLine{"rope_sign", "{turn}"},
    CodeLine{"rope_axis", "{angles}"},
    CodeLine{"rope_partial", "{partial}"},
    CodeLine{"rope_before_split", "{rotate}"},
    CodeLine{"rope_table_layout", "{rope_table}"},
    CodeLine{"k_permuted", "{permuted}"},
    CodeLine{"cache_rotated_again", "{cached}"},
    CodeLine{"no_position_bias", "{biased}"},
    CodeLine{"no_alibi", "{alibi}"},
    CodeLine{"bias_scaled", "{scaled}; {biased}"},
    CodeLine{"bias_transposed", "{biased}"},
    CodeLine{"alibi_sign", "{alibi}"},
    CodeLine{"alibi_slopes", "{alibi}"},
    CodeLine{"window_off_by_one", "{window}"},
    CodeLine{"softcap_after_mask", "{capped}; {masked}"},
    CodeLine{"no_softcap", "{capped}"},
    CodeLine{"empty_row_nan", "{softmax}"},
    CodeLine{"empty_row_uniform", "{masked}"},
    CodeLine{"empty_row_zero", "{softmax}"},
    CodeLine{"dropout_left_on", "{dropped}"},
    CodeLine{"init_order", "{layers}"},
    CodeLine{"rounded", "{softmax}"},
    CodeLine{"kept_in_float32", "{softmax}"},
    CodeLine{"window_forgets_cache", "{window}"},
    CodeLine{"window_width", "{window}"},
    CodeLine{"causal_for_mask", "{masked}"},
    CodeLine{"window_for_chunk", "{masked}"},
    CodeLine{"mask_added_as_numbers", "{masked}"},
    CodeLine{"mask_other_item", "{mask_of_items}"},
    CodeLine{"mask_fill_small", "{masked}"},
    CodeLine{"softmax_twice", "{softmax}"},
    CodeLine{"softmax_without_maximum", "{softmax}"},
    CodeLine{"softmax_maximum_zero", "{softmax}"},
    CodeLine{"blocks_not_rescaled", "{blocks}"},
    CodeLine{"blocks_averaged", "{blocks}"},
    CodeLine{"no_sinks", "{sinks}"},
    CodeLine{"sinks_scaled", "{sinks}"},
    CodeLine{"softcap_before_scale", "{scaled}; {capped}"},
    CodeLine{"softcap_not_multiplied", "{capped}"},
    CodeLine{"cache_zeros", "{padding}"},
    CodeLine{"dropout_factor", "{dropped}"},
    CodeLine{"no_qk_norm", "{normed}"},
    CodeLine{"norm_after_rope", "{normed}; {rotate}"},
    CodeLine{"norm_plus_one", "{norm_body}"},
    CodeLine{"norm_weight", "{normed}"},
    CodeLine{"norm_type", "{norm_body}"},
    CodeLine{"norm_extent", "{normed}"},
    CodeLine{"no_value_norm", "{normed_value}"},
    CodeLine{"no_query_scale", "{tempered}"},
    CodeLine{"no_gate", "{gated}"},
    CodeLine{"gate_split", "{gate_split}"},
    CodeLine{"source_other:keys", "{key_of_other}"},
    CodeLine{"source_other:values", "{value_of_other}"},
    CodeLine{"sources_exchanged", "{query}; {key_of_other}"},
    CodeLine{"weight_of_other", "{made}"},
    CodeLine{"key_reshaped", "{product}"},
    CodeLine{"packed_split", "{made}"},
    CodeLine{"packed_order", "{made}"},
    CodeLine{"kv_head_other", "{repeat}"},
    CodeLine{"head_other", "{product}"},
    CodeLine{"heads_averaged", "{merged}"},
    CodeLine{"weights_averaged", "{average}"},
    CodeLine{"merge_head_order", "{merged}"},
    CodeLine{"batch_for_tokens", "{batch}"},
    CodeLine{"merge_batch_heads", "{merged}"},
};

constexpr std::array<std::string_view, 19> plan_words{
    "made",    "query",    "key",      "value", "turn",         "table",    "split_q",
    "split_k", "repeated", "diagonal", "left",  "window_width", "scale_is", "W_q",
    "W_k",     "W_v",      "W_qkv",    "W_o",   "mask_made"};

/// What names say whose code they come from: a part of them, of an array of theirs or of a tensor in a file.
constexpr std::array<std::pair<std::string_view, std::string_view>, 9> parts_of_names{
    {{"model.layers.", "Transformers"},
     {"encoder.layer.", "Transformers"},
     {"transformer.h.", "GPT-2"},
     {"hook_", "TransformerLens"},
     {"blk.", "llama.cpp"},
     {"kq_soft_max", "llama.cpp"},
     {"attention_output/kernel", "Keras"},
     {"kernel:0", "Keras"},
     {"/kernel", "Flax"}}};

constexpr std::array<std::pair<NameMap, std::string_view>, 5> maps{{{NameMap::tutorial, "the tutorial"},
                                                                    {NameMap::tlens, "TransformerLens"},
                                                                    {NameMap::onnx, "ONNX"},
                                                                    {NameMap::onnx_1_21, "ONNX"},
                                                                    {NameMap::llama, "llama.cpp"}}};

/// Names of weights that a code has, by their style.
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> styles{
    {{"W_*", "the tutorial"},
     {"*_proj", "Transformers"},
     {"**", "Transformers"},
     {"*", "Transformers"},
     {"query_key_value", "Transformers"},
     {"qkv_proj", "Transformers"},
     {"in_proj_qkv", "Transformers"},
     {"Wqkv", "flash-attention"},
     {"qkv", "timm"},
     {"attn_qkv", "llama.cpp"}}};

template <class Rows, class Key>
std::string_view found_in(const Rows& rows, const Key& key) {
    for (const auto& [name, system] : rows)
        if (name == key) return system;
    return {};
}

std::string_view system_of_name(std::string_view name) {
    for (const auto& [part, system] : parts_of_names)
        if (name.find(part) != std::string_view::npos) return system;
    return {};
}

std::string_view system_of_weight(const WeightName& name, const Plan& plan) {
    switch (name.family) {
        case WeightFamily::multihead:
            return "nn.MultiheadAttention";
        case WeightFamily::keras:
            return system_of_name(name.name);
        case WeightFamily::lens:
            return "TransformerLens";
        case WeightFamily::gpt2: {
            const auto& pieces = plan.projection(WeightRole::query).weight;
            return !pieces.empty() && pieces.front().out_in ? "nanoGPT" : "GPT-2";
        }
        case WeightFamily::linear:
            return found_in(styles, name.style);
        case WeightFamily::mathematics:
            break;
    }
    return {};
}

/// The name of the weight that queries are made with, or all three.
const WeightName* weight_for(const Plan& plan, WeightRole role) {
    for (const WeightNote& note : plan.weight_notes)
        if (const WeightName* n = weight_named(note.name); n && n->role == role && !n->bias) return n;
    return nullptr;
}

std::string_view system_of_weights(const Plan& plan) {
    const auto& pieces = plan.projection(WeightRole::query).weight;
    if (!pieces.empty()) {
        // "w.npz: query/kernel": the file may be called anything.
        const std::string& from = plan.tensors[pieces.front().tensor].file;
        const std::size_t name = from.rfind(": ");
        if (name != std::string::npos)
            if (const auto system = system_of_name(std::string_view(from).substr(name)); !system.empty())
                return system;
    }
    if (plan.init)
        return plan.init->kind == WeightsInit::Kind::multihead ? "nn.MultiheadAttention" : "the tutorial";
    for (const WeightRole role : {WeightRole::query, WeightRole::packed})
        if (const WeightName* n = weight_for(plan, role)) return system_of_weight(*n, plan);
    return {};
}

/// A module's name, where the document's names are those of modules.
std::optional<std::string> module_of(const Plan& plan, WeightRole role, const CodeSystem& system) {
    const WeightName* n = weight_for(plan, role);
    if (!n || n->family != WeightFamily::linear || system.language != CodeLanguage::torch ||
        system_of_weight(*n, plan) != system.name)
        return std::nullopt;
    return "self." + std::string(n->name.substr(0, n->name.rfind('.')));
}

/// Which of the three an id is about: "weight_transposed:k_proj.weight", "weight_of_other:key=value",
/// "split_without_transpose:value".
WeightRole role_in(std::string_view id) {
    const std::size_t colon = id.find(':');
    const std::string_view of = colon == std::string_view::npos ? std::string_view() : id.substr(colon + 1);
    if (const WeightName* n = weight_named(of)) return n->role;
    if (of.starts_with("key")) return WeightRole::key;
    if (of.starts_with("value")) return WeightRole::value;
    return WeightRole::query;
}

std::string_view place_of(WeightRole role) {
    switch (role) {
        case WeightRole::output:
            return "{project_out}";
        case WeightRole::key:
            return "{key}";
        case WeightRole::value:
            return "{value}";
        default:
            return "{query}";
    }
}

class PlanWords {
  public:
    PlanWords(std::string_view id, const CodeSystem& system, const Plan& plan)
        : id_(id), system_(system), plan_(plan) {
        const auto& pieces = plan.projection(WeightRole::query).weight;
        packed_ = weight_for(plan, WeightRole::packed) != nullptr ||
                  (plan.init && plan.init->kind == WeightsInit::Kind::multihead);
        if (packed_) unpack_ = pieces.size() > 1 ? "{unpack_heads}" : "{unpack}";
    }

    std::optional<std::string> operator()(std::string_view name) const {
        if (name == "made") return std::string(place_of(role_in(id_)));
        if (name == "mask_made") return plan_.masks.empty() && !plan_.key_lengths ? "{causal}" : "{padding}";
        if (name == "query" || name == "key" || name == "value")
            return packed_ ? std::optional<std::string>(unpack_) : std::nullopt;
        if (name == "turn") return interleaved() ? "{turn_pairs}" : "{turn_half}";
        if (name == "table") return interleaved() ? "{table_pairs}" : "{table_half}";
        if (name == "split_q") return plan_.heads > 1 ? "{split}" : "";
        if (name == "split_k") return plan_.heads > 1 ? "{split_kv}" : "";
        if (name == "repeated") return plan_.kv_interleaved ? "{repeat_each}" : "{repeat_all}";
        if (name == "diagonal")
            return plan_.offsets.empty() ? "1" : std::to_string(plan_.offsets.front() + 1);
        const bool left = plan_.window && plan_.window->left;
        if (name == "left") return left ? std::to_string(*plan_.window->left) : "left";
        if (name == "window_width") return left ? std::to_string(*plan_.window->left + 1) : "left + 1";
        if (name == "scale_is") return scale();
        if (name == "W_q") return module_of(plan_, WeightRole::query, system_);
        if (name == "W_k") return module_of(plan_, WeightRole::key, system_);
        if (name == "W_v") return module_of(plan_, WeightRole::value, system_);
        if (name == "W_qkv") return module_of(plan_, WeightRole::packed, system_);
        if (name == "W_o") return module_of(plan_, WeightRole::output, system_);
        return std::nullopt;
    }

  private:
    bool interleaved() const { return plan_.rope && plan_.rope->interleaved; }
    std::string scale() const {
        if (plan_.scaled && plan_.scale_root > 0 && plan_.scale_root != plan_.dim)
            return std::to_string(plan_.scale_root) + "**-0.5";
        if (plan_.scaled && plan_.scale_root > 0) return "{dim}**-0.5";
        return significant(plan_.factor(), 9);
    }

    std::string_view id_;
    const CodeSystem& system_;
    const Plan& plan_;
    bool packed_ = false;
    std::string unpack_;
};

std::string_view template_of(std::string_view id) {
    for (const std::string_view name : {id, id.substr(0, id.find(':'))})
        for (const CodeLine& line : lines)
            if (line.id == name) return line.text;
    return {};
}

}  // namespace

std::span<const CodeLine> all_code_lines() { return lines; }

std::span<const std::string_view> words_of_plans() { return plan_words; }

const CodeSystem* code_system_of(NameMap map, const Layer& theirs, const Plan& plan) {
    std::string_view name = found_in(maps, map);
    for (const NamedArray& a : theirs.arrays)
        if (name.empty()) name = system_of_name(a.array->name);
    for (const NamedGradient& g : theirs.gradients)
        if (name.empty()) name = system_of_name(g.array->name);
    for (const LeftOut& left : theirs.left_out)
        if (name.empty()) name = system_of_name(left.array->name);
    if (name.empty()) name = system_of_weights(plan);
    return name.empty() ? nullptr : &code_system(name);
}

std::string code_line(std::string_view id, const CodeSystem& system, const Plan& plan) {
    const std::string_view text = template_of(id);
    return filled(text, system, PlanWords(id, system, plan));
}

void say_where(CauseReport& report, const CodeSystem* system, const Plan& plan) {
    if (!system) return;
    for (Cause& cause : report.causes) {
        if (!cause.look_at.empty()) continue;
        std::vector<std::string> ids{cause.id};
        ids.insert(ids.end(), cause.with.begin(), cause.with.end());
        for (const std::string& id : ids) {
            std::string line = code_line(id, *system, plan);
            if (!line.empty()) cause.look_at.push_back(std::move(line));
        }
        if (!cause.look_at.empty()) cause.system = system->name;
    }
}

}  // namespace attn
