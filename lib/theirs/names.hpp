#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/plan/planned_gradient.hpp"
#include "lib/plan/stage.hpp"
#include "lib/theirs/given_array.hpp"

namespace attn {

/// Whose names the arrays have. Our own, those of modules (self_attn.o_proj), TransformerLens' and
/// llama.cpp's are understood with every map; llmc and micrograd name gradients (gradient_names.cpp).
enum class NameMap { own, tutorial, tlens, onnx, onnx_1_21, llama, llmc, micrograd };
std::span<const std::string_view> map_names();  ///< in the order of the enumeration, "own" first

/// How heads and tokens lie.
enum class Layout { unknown, heads_first, tokens_first };

/// An array whose name was understood.
struct NamedArray {
    GivenArray* array = nullptr;
    Stage stage = Stage::output;
    Layout layout = Layout::unknown;
};

/// An array that no stage is called by.
struct LeftOut {
    GivenArray* array = nullptr;
    std::string name;  ///< without the layer's
    std::string why;   ///< what may be meant, or why it has no place; may be empty
};

/// A gradient that ours has.
struct OwnGradient {
    std::string name;  ///< "d_scores", "d_W_query.weight"
    StageOf of = StageOf::gradient;
    Stage stage = Stage::output;  ///< of which it is the gradient, where it is that of a stage
};

/// An array that is a gradient by its name.
struct NamedGradient {
    GivenArray* array = nullptr;
    std::vector<std::string> among;  ///< gradients of ours that it may be, likeliest first
    Layout layout = Layout::unknown;
};

/// Arrays that belong together: one document, or one layer of it.
struct Layer {
    std::string name;  ///< "blocks.3", "document 3"; empty: there is only one
    std::optional<Index> number;
    std::vector<NamedArray> arrays;  ///< in the order of the stages, no stage twice
    std::vector<NamedGradient> gradients;
    std::vector<LeftOut> left_out;
    const Dump* dump = nullptr;
};

/// What the names mean. `order`: the stages that OURS has, in their order; several systems name a place of
/// the calculation ("scaled and masked by now"), which is another stage where a step is not there. A lone
/// array without a name is left out: take_lone(). \param gradients those that OURS has; arrays of them are
/// left out where it has none. \throws Error (exit 3): two arrays of a layer are one stage
std::vector<Layer> understand(std::vector<Dump>& dumps, NameMap map, std::span<const Stage> order,
                              std::span<const OwnGradient> gradients = {});

/// The stage that a name of a map, of a module or our own means, as far as it says one by itself.
struct StageByName {
    Stage stage;
    Layout layout;
};
std::optional<StageByName> stage_by_name(NameMap map, std::string_view path);

/// "did you mean "weights"?" for what another system calls a stage ("attn_weights", with any map), or "".
std::string hint_by_maps(std::string_view name);
/// The same, and for what a name looks like.
std::string stage_hint(std::string_view name);

/// The last part of a name ("hook_pattern"), and the layer's ("blocks.3") with its number.
struct SplitName {
    std::string layer, stage;
    std::optional<Index> number;
    std::string path;  ///< all of the name, parts with a dot between, without a number behind a dash
};
SplitName split_name(std::string_view name);

/// The number of a part of a name that stands for a layer: "3", "layer3", "layer_3", "h-3".
std::optional<Index> layer_number(std::string_view part);
/// Whether a path ("self_attn.q_proj") is what a stage is called, by any code.
bool is_stage_path(const std::string& path);

/// Whether a path may be of a stack ("text", "encoder", "decoder", "cross", "vision"): no part of it says
/// another.
bool is_of_stack(std::string_view name, std::string_view stack);

/// Which layer a file is of by its name without its suffix ("layer_03", "layer.3", "3", "weights_layer3"),
/// and what that calls an array without a name of its own: "weights"; empty: nothing that is known.
struct LayerOfFile {
    std::optional<Index> number;
    std::string array;
};
LayerOfFile layer_of_file(std::string_view stem);

}  // namespace attn
