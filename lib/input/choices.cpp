#include "lib/input/choices.hpp"

namespace attn {
namespace {

template <class Names>
std::vector<std::string_view> listed(const Names& names) {
    return {names.begin(), names.end()};
}

}  // namespace

std::vector<std::pair<std::string_view, std::vector<std::string_view>>> choice_definitions() {
    std::vector<std::string_view> generators = listed(choice_names<DropoutKind>());
    generators.pop_back();
    std::vector<std::string_view> numbers = listed(drawn_tensor_names);  // the last is a table
    numbers.pop_back();
    std::vector<std::string_view> scalings = listed(choice_names<RopeScalingType>());
    for (const auto& [word, type] : rope_scaling_words) scalings.push_back(word);
    return {{"drawn_numbers", std::move(numbers)},
            {"drawn_dtype", {choice_name(DType::float32), choice_name(DType::float64)}},
            {"norm_type", listed(choice_names<NormType>())},
            {"norm_over", listed(norm_over_names)},
            {"feature_map", listed(choice_names<FeatureMap>())},
            {"mask_at", listed(choice_names<MaskAt>())},
            {"normalize", listed(choice_names<Normalize>())},
            {"empty_rows", listed(choice_names<EmptyRows>())},
            {"generator", std::move(generators)},
            {"dropout_kind", listed(choice_names<DropoutKind>())},
            {"weights_init", listed(choice_names<WeightsInit::Kind>())},
            {"kv_head_order", listed(choice_names<KvHeadOrder>())},
            {"pairing", listed(choice_names<Pairing>())},
            {"dtype", listed(choice_names<DType>())},
            {"rope_pairs", listed(rope_pair_names)},
            {"rope_tables", listed(rope_table_names)},
            {"rope_scaling", std::move(scalings)},
            {"gate_activation", listed(choice_names<GateActivation>())},
            {"conv_activation", listed(conv_activation_names)},
            {"gate_source", listed(gate_source_names)},
            {"weight_layout", listed(weight_layout_names)},
            {"packed_layout", listed(choice_names<PackedLayout>())},
            {"causal_corner", listed(causal_corner_names)},
            {"state_rule", listed(state_rule_names)},
            {"state_begin", listed(state_begin_names)}};
}

}  // namespace attn
