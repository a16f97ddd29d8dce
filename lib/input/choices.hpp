#pragma once
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/input/problem.hpp"

namespace attn {

/// One value of an enumeration: what it is called in documents and traces, and in the words of a plan.
template <class E>
struct Choice {
    E value;
    std::string_view name;
    std::string_view words{};  ///< empty: the name
};

/// THE TABLES of choices, each in the order of its enumeration. Reader, plan, text, JSON and both schemas use
/// them, so a word stands here alone.
template <class E>
struct Choices;

template <>
struct Choices<NormType> {
    static constexpr std::array<Choice<NormType>, 3> table{
        {{NormType::rms, "rms"}, {NormType::layer, "layer"}, {NormType::l2, "l2"}}};
};
/// The first changes nothing.
template <>
struct Choices<RopeScalingType> {
    using Type = RopeScalingType;
    static constexpr std::array<Choice<Type>, 7> table{{{Type::none, "default"},
                                                        {Type::linear, "linear"},
                                                        {Type::dynamic, "dynamic"},
                                                        {Type::llama3, "llama3"},
                                                        {Type::yarn, "yarn"},
                                                        {Type::longrope, "longrope"},
                                                        {Type::proportional, "proportional"}}};
};
/// Other words of config.json: of Phi 3, and of models whose text has one position a token.
inline constexpr std::array<std::pair<std::string_view, RopeScalingType>, 2> rope_scaling_words{
    {{"su", RopeScalingType::longrope}, {"mrope", RopeScalingType::none}}};
template <>
struct Choices<FeatureMap> {
    static constexpr std::array<Choice<FeatureMap>, 4> table{{{FeatureMap::elu1, "elu1", "elu + 1"},
                                                              {FeatureMap::relu, "relu"},
                                                              {FeatureMap::silu, "silu"},
                                                              {FeatureMap::identity, "identity"}}};
};
template <>
struct Choices<PackedLayout> {
    static constexpr std::array<Choice<PackedLayout>, 3> table{
        {{PackedLayout::stacked, "stacked", "one after another"},
         {PackedLayout::heads, "heads", "head by head"},
         {PackedLayout::groups, "groups", "group by group"}}};
};
template <>
struct Choices<GateActivation> {
    static constexpr std::array<Choice<GateActivation>, 3> table{
        {{GateActivation::sigmoid, "sigmoid", "a sigmoid"},
         {GateActivation::silu, "silu"},
         {GateActivation::softplus, "softplus"}}};
};
/// The first is no loss: a gradient is given.
template <>
struct Choices<Loss> {
    static constexpr std::array<Choice<Loss>, 3> table{
        {{Loss::none, "none"},
         {Loss::sum, "sum", "the sum of the result"},
         {Loss::mean_squared_error, "mean_squared_error", "the mean squared error"}}};
};
template <>
struct Choices<MaskAt> {
    static constexpr std::array<Choice<MaskAt>, 3> table{
        {{MaskAt::scaled_scores, "scaled_scores"}, {MaskAt::scores, "scores"}, {MaskAt::weights, "weights"}}};
};
template <>
struct Choices<Normalize> {
    static constexpr std::array<Choice<Normalize>, 3> table{
        {{Normalize::softmax, "softmax"}, {Normalize::sum, "sum"}, {Normalize::sigmoid, "sigmoid"}}};
};
template <>
struct Choices<EmptyRows> {
    static constexpr std::array<Choice<EmptyRows>, 3> table{
        {{EmptyRows::zero, "zero"}, {EmptyRows::nan, "nan", "NaN"}, {EmptyRows::uniform, "uniform"}}};
};
template <>
struct Choices<MaskKind> {
    static constexpr std::array<Choice<MaskKind>, 3> table{
        {{MaskKind::keep, "keep"}, {MaskKind::drop, "drop"}, {MaskKind::add, "add"}}};
};
/// The last is no generator: it stands in plans alone.
template <>
struct Choices<DropoutKind> {
    static constexpr std::array<Choice<DropoutKind>, 3> table{{{DropoutKind::torch, "torch"},
                                                               {DropoutKind::torch_mkl, "torch-mkl"},
                                                               {DropoutKind::given, "given"}}};
};
template <>
struct Choices<WeightsInit::Kind> {
    using Kind = WeightsInit::Kind;
    static constexpr std::array<Choice<Kind>, 3> table{{{Kind::linear, "torch.nn.Linear"},
                                                        {Kind::rand, "torch.rand"},
                                                        {Kind::multihead, "torch.nn.MultiheadAttention"}}};
};
template <>
struct Choices<KvHeadOrder> {
    static constexpr std::array<Choice<KvHeadOrder>, 2> table{
        {{KvHeadOrder::interleave, "interleave"}, {KvHeadOrder::tile, "tile"}}};
};
template <>
struct Choices<Pairing> {
    static constexpr std::array<Choice<Pairing>, 2> table{
        {{Pairing::interleaved, "interleaved", "2h and 2h + 1"},
         {Pairing::halves, "halves", "h and h + heads"}}};
};
template <>
struct Choices<DType> {
    static constexpr std::array<Choice<DType>, 4> table{{{DType::float32, name_of(DType::float32)},
                                                         {DType::float64, name_of(DType::float64)},
                                                         {DType::bfloat16, name_of(DType::bfloat16)},
                                                         {DType::float16, name_of(DType::float16)}}};
};

template <class E>
constexpr bool choices_are_in_order() {
    for (std::size_t k = 0; k < Choices<E>::table.size(); ++k)
        if (static_cast<std::size_t>(Choices<E>::table[k].value) != k) return false;
    return true;
}
static_assert(choices_are_in_order<NormType>() && choices_are_in_order<RopeScalingType>() &&
              choices_are_in_order<FeatureMap>() && choices_are_in_order<GateActivation>() &&
              choices_are_in_order<PackedLayout>() && choices_are_in_order<MaskAt>() &&
              choices_are_in_order<Normalize>() && choices_are_in_order<EmptyRows>() &&
              choices_are_in_order<MaskKind>() && choices_are_in_order<DropoutKind>() &&
              choices_are_in_order<WeightsInit::Kind>() && choices_are_in_order<KvHeadOrder>() &&
              choices_are_in_order<Pairing>() && choices_are_in_order<DType>());

/// What a choice is called in documents and traces.
template <class E>
constexpr std::string_view choice_name(E value) {
    return Choices<E>::table[idx(value)].name;
}
/// What it is called in the words of a plan.
template <class E>
constexpr std::string_view choice_words(E value) {
    const auto& row = Choices<E>::table[idx(value)];
    return row.words.empty() ? row.name : row.words;
}
template <class E>
constexpr auto choice_names() {
    std::array<std::string_view, Choices<E>::table.size()> out{};
    for (std::size_t k = 0; k < out.size(); ++k) out[k] = Choices<E>::table[k].name;
    return out;
}

/// How tensors are drawn: numbers of a shape, or rows of a table.
inline constexpr std::array<std::string_view, 3> drawn_tensor_names{"torch.rand", "torch.randn",
                                                                    "torch.nn.Embedding"};

/// Choices between two, which are kept as a bool: the names of false and of true.
using TwoNames = std::array<std::string_view, 2>;
inline constexpr TwoNames rope_pair_names{"half", "interleaved"}, rope_table_names{"pairs", "columns"},
    norm_over_names{"head", "width"}, gate_source_names{"weights", "queries"},
    weight_layout_names{"in_out", "out_in"}, conv_activation_names{"none", "silu"},
    causal_corner_names{"top_left", "bottom_right"}, state_rule_names{"sum", "delta"},
    state_begin_names{"zeros", "past_state"};

/// The sets of names that a JSON Schema refers to as "#/$defs/NAME": each list above.
std::vector<std::pair<std::string_view, std::vector<std::string_view>>> choice_definitions();

}  // namespace attn
