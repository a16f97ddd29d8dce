#include "lib/theirs/names.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "lib/error.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"
#include "lib/theirs/gradient_names.hpp"

namespace attn {
namespace {

constexpr std::array<std::string_view, 8> names_of_maps{"own",       "tutorial", "tlens", "onnx",
                                                        "onnx-1.21", "llama",    "llmc",  "micrograd"};

/// What a name of another system stands for.
enum class Means {
    stage,         ///< this stage
    last_of,       ///< the last of some stages that there is
    last_scores,   ///< the scores that the softmax reads
    before_scale,  ///< masked scores that are not scaled yet
    packed         ///< queries, keys and values in one array: no stage
};

struct NameRow {
    NameMap map;            ///< own: what modules are called, in whatever code
    std::string_view name;  ///< the end of a path: "o_proj", "attn.c_proj"
    Means means;
    Stage stage;
    Layout layout = Layout::unknown;
    std::span<const Stage> among = {};  ///< last_of
    bool below = false;  ///< only where it stands below something: "attn" alone may be anything
};

constexpr auto module = NameMap::own, tutorial = NameMap::tutorial, tlens = NameMap::tlens,
               onnx = NameMap::onnx, old_onnx = NameMap::onnx_1_21, llama = NameMap::llama;
constexpr auto same = Means::stage;
constexpr auto tokens_first = Layout::tokens_first;
constexpr std::array to_scale{Stage::scores, Stage::scaled_scores};
constexpr std::array to_cap{Stage::scores, Stage::scaled_scores, Stage::capped_scores};
constexpr std::array before_attention{Stage::normed_embeddings};
// llama.cpp calls queries so at each step up to the rotation: the last one is what stays under the name.
constexpr std::array to_turned_queries{Stage::queries, Stage::normed_queries, Stage::rotated_queries};
constexpr std::array to_turned_keys{Stage::keys, Stage::normed_keys, Stage::rotated_keys};

constexpr NameRow last_of(NameMap map, std::string_view name, std::span<const Stage> stages,
                          Layout layout = Layout::unknown) {
    return {map, name, Means::last_of, stages.back(), layout, stages};
}
/// A module whose output is a stage.
constexpr NameRow gives(std::string_view name, Stage stage) { return {module, name, same, stage}; }
constexpr NameRow gives_below(std::string_view name, Stage stage) {
    return {module, name, same, stage, Layout::unknown, {}, true};
}
constexpr NameRow packs(std::string_view name) { return {module, name, Means::packed, Stage::queries}; }

/// THE TABLE of names of other systems. Before 1.22 ONNX counted its modes 1 and 2 the other way round. Names
/// of modules are as short as no other module of a layer has them: mlp.c_proj is not attention's.
constexpr NameRow rows[] = {
    gives("q_proj", Stage::queries),
    gives("k_proj", Stage::keys),
    gives("v_proj", Stage::values),
    gives("o_proj", Stage::output),
    gives("o_proj.input", Stage::concat),
    gives_below("self_attn", Stage::output),
    gives("self_attn.dense", Stage::output),
    gives("self_attn.out_proj", Stage::output),
    gives("self_attn.out_proj.input", Stage::concat),
    gives_below("encoder_attn", Stage::output),
    gives("encoder_attn.out_proj", Stage::output),
    gives("q_norm", Stage::normed_queries),
    gives("k_norm", Stage::normed_keys),
    gives("q_layernorm", Stage::normed_queries),
    gives("k_layernorm", Stage::normed_keys),
    gives("v_norm", Stage::normed_values),
    gives_below("attn", Stage::output),
    gives("attn.c_proj", Stage::output),
    gives("attn.c_proj.input", Stage::concat),
    gives("attn.out_proj", Stage::output),
    gives("attn.out", Stage::output),
    gives("attn.proj", Stage::output),
    gives("attn.proj.input", Stage::concat),
    gives("attn.Wo", Stage::output),
    gives("attn.to_out.0", Stage::output),
    gives("attn.query", Stage::queries),
    gives("attn.key", Stage::keys),
    gives("attn.value", Stage::values),
    gives("attn.q", Stage::queries),
    gives("attn.k", Stage::keys),
    gives("attn.v", Stage::values),
    gives("attn.o", Stage::output),
    gives("attn.attn_drop", Stage::weights),
    gives("attn.attn_dropout", Stage::weights),
    gives("attention.self", Stage::concat),
    gives("attention.self.query", Stage::queries),
    gives("attention.self.key", Stage::keys),
    gives("attention.self.value", Stage::values),
    gives("attention.self.query_proj", Stage::queries),
    gives("attention.self.key_proj", Stage::keys),
    gives("attention.self.value_proj", Stage::values),
    gives("attention.self.dropout", Stage::weights),
    gives("attention.output.dense", Stage::output),
    gives("attention.output.dense.input", Stage::concat),
    gives("attention.attention", Stage::concat),
    gives("attention.query", Stage::queries),
    gives("attention.key", Stage::keys),
    gives("attention.value", Stage::values),
    gives("attention.attention.query", Stage::queries),
    gives("attention.attention.key", Stage::keys),
    gives("attention.attention.value", Stage::values),
    gives("attention.dense", Stage::output),
    gives("self_attention.dense", Stage::output),
    gives("q_lin", Stage::queries),
    gives("k_lin", Stage::keys),
    gives("v_lin", Stage::values),
    gives("attention.out_lin", Stage::output),
    gives("attention.wq", Stage::queries),
    gives("attention.wk", Stage::keys),
    gives("attention.wv", Stage::values),
    gives("attention.wo", Stage::output),
    gives_below("SelfAttention", Stage::output),
    gives("SelfAttention.q", Stage::queries),
    gives("SelfAttention.k", Stage::keys),
    gives("SelfAttention.v", Stage::values),
    gives("SelfAttention.o", Stage::output),
    gives_below("EncDecAttention", Stage::output),
    gives("EncDecAttention.q", Stage::queries),
    gives("EncDecAttention.k", Stage::keys),
    gives("EncDecAttention.v", Stage::values),
    gives("EncDecAttention.o", Stage::output),
    packs("qkv"),
    packs("Wqkv"),
    packs("qkv_proj"),
    packs("query_key_value"),
    packs("c_attn"),
    last_of(module, "input_layernorm", before_attention),
    last_of(module, "ln_1", before_attention),
    last_of(module, "layer_norm1", before_attention),
    last_of(module, "layernorm_before", before_attention),
    last_of(module, "self_attn_layer_norm", before_attention),
    NameRow{tutorial, "attn_scores", same, Stage::scores},
    NameRow{tutorial, "attn_scores_scaled", same, Stage::scaled_scores},
    NameRow{tutorial, "masked", Means::before_scale, Stage::masked_scores},
    NameRow{tutorial, "attn_weights", same, Stage::weights},
    NameRow{tutorial, "masked_simple", same, Stage::masked_weights},
    NameRow{tutorial, "masked_simple_norm", same, Stage::renormalized_weights},
    NameRow{tutorial, "context_vec", same, Stage::context, tokens_first},
    NameRow{tutorial, "context_vecs", same, Stage::context, tokens_first},
    NameRow{tutorial, "all_context_vecs", same, Stage::context, tokens_first},
    NameRow{tutorial, "out_proj", same, Stage::output},
    NameRow{tlens, "hook_q", same, Stage::queries, tokens_first},
    NameRow{tlens, "hook_k", same, Stage::keys, tokens_first},
    NameRow{tlens, "hook_v", same, Stage::values, tokens_first},
    NameRow{tlens, "hook_rot_q", same, Stage::rotated_queries, tokens_first},
    NameRow{tlens, "hook_rot_k", same, Stage::rotated_keys, tokens_first},
    NameRow{tlens, "hook_attn_scores", Means::last_scores, Stage::masked_scores},
    NameRow{tlens, "hook_pattern", same, Stage::weights},
    NameRow{tlens, "hook_z", same, Stage::context, tokens_first},
    NameRow{tlens, "hook_result", same, Stage::head_outputs, tokens_first},
    NameRow{tlens, "hook_attn_out", same, Stage::output},
    NameRow{onnx, "Q", same, Stage::queries},
    NameRow{onnx, "K", same, Stage::keys},
    NameRow{onnx, "V", same, Stage::values},
    NameRow{onnx, "present_key", same, Stage::all_keys},
    NameRow{onnx, "present_value", same, Stage::all_values},
    last_of(onnx, "qk_matmul_output", to_scale),
    last_of(onnx, "qk_matmul_output_mode_0", to_scale),
    last_of(onnx, "qk_matmul_output_mode_1", to_cap),
    NameRow{onnx, "qk_matmul_output_mode_2", Means::last_scores, Stage::masked_scores},
    NameRow{onnx, "qk_matmul_output_mode_3", same, Stage::weights},
    NameRow{onnx, "Y", same, Stage::context},
    NameRow{old_onnx, "qk_matmul_output_mode_1", Means::last_scores, Stage::masked_scores},
    last_of(old_onnx, "qk_matmul_output_mode_2", to_cap),
    last_of(llama, "attn_norm", before_attention),
    last_of(llama, "Qcur", to_turned_queries, tokens_first),
    last_of(llama, "Kcur", to_turned_keys, tokens_first),
    NameRow{llama, "Qcur_normed", same, Stage::normed_queries, tokens_first},
    NameRow{llama, "Kcur_normed", same, Stage::normed_keys, tokens_first},
    NameRow{llama, "Vcur", same, Stage::values, tokens_first},
    NameRow{llama, "kq", same, Stage::scores},
    NameRow{llama, "kq_soft_max", same, Stage::weights},
    NameRow{llama, "kq_soft_max_ext", same, Stage::weights},
    NameRow{llama, "kqv", same, Stage::context},
    NameRow{llama, "kqv_merged", same, Stage::concat},
    NameRow{llama, "kqv_merged_cont", same, Stage::concat},
    NameRow{llama, "kqv_out", same, Stage::concat},
    NameRow{llama, "attn_out", same, Stage::output},
};

/// Names that nobody uses for anything else: they are understood with every map.
bool is_of_one(NameMap map) { return map == module || map == tlens || map == llama; }

/// The row of the longest name that a path ends with; the map's own go before others.
const NameRow* row_of(NameMap map, std::string_view path) {
    const NameRow* found = nullptr;
    const auto look = [&](auto is_known) {
        for (const NameRow& row : rows) {
            if (!is_known(row.map) || !path.ends_with(row.name)) continue;
            const std::size_t before = path.size() - row.name.size();
            if (before > 0 ? path[before - 1] != '.' : row.below) continue;
            if (!found || row.name.size() > found->name.size()) found = &row;
        }
    };
    look([&](NameMap m) { return m == map; });
    // The older ONNX falls back on the newer one's.
    if (!found && map == old_onnx) look([](NameMap m) { return m == onnx; });
    if (!found) look(is_of_one);
    return found;
}

/// The row of a path as a script may save it: "self_attn.q_proj.output" is what q_proj gives.
const NameRow* row_as_saved(NameMap map, std::string_view path) {
    for (const std::string_view end : {".output", ".out", ".0"})
        if (path.ends_with(end)) {
            const NameRow* row = row_of(map, path.substr(0, path.size() - end.size()));
            if (row && row->map == module) return row;
        }
    return row_of(map, path);
}

/// Where a row leads among the stages that there are.
std::optional<Stage> stage_of(const NameRow& row, std::span<const Stage> order) {
    std::optional<Stage> found;
    for (const Stage s : order) {
        switch (row.means) {
            case Means::stage:
                if (s == row.stage) return s;
                break;
            case Means::last_of:
                if (std::find(row.among.begin(), row.among.end(), s) != row.among.end()) found = s;
                break;
            case Means::last_scores:
                if (is_score(s)) found = s;
                break;
            case Means::before_scale:
                if (s == Stage::scaled_scores) return std::nullopt;
                if (s == row.stage) return s;
                break;
            case Means::packed:
                return std::nullopt;
        }
    }
    // A stage that is not there is still called by its name; without a second head contexts are all there is.
    if (row.stage == Stage::concat && !found && row.means == Means::stage) return Stage::context;
    return row.means == Means::stage ? row.stage : found;
}

/// Why an array has no place, where its name is known.
std::string_view why_left_out(Means means) {
    if (means == Means::before_scale)
        return "masked before the scale, and ours is after it: \"mask_at\": \"scores\" masks there";
    if (means == Means::packed) return "queries, keys and values in one: save each by itself";
    return "ours has no such stage";
}

std::string hint_for(std::string_view name, NameMap map) {
    for (const NameRow& row : rows)
        if (row.name == name)
            return option::map + " " + std::string(names_of_maps[idx(row.map)]) + " knows it";
    std::vector<std::string_view> known;
    for (const StageInfo& s : all_stages()) known.push_back(s.name);
    for (const NameRow& row : rows)
        if (row.map == map) known.push_back(row.name);
    const std::string near = nearest_name(name, known);
    return near.empty() ? "" : "did you mean " + near + "?";
}

class Sorter {
  public:
    Sorter(NameMap map, std::span<const Stage> order, std::span<const OwnGradient> gradients)
        : map_(map), order_(order), gradients_(gradients) {}

    std::vector<Layer> layers;

    void add(Dump& dump) {
        for (GivenArray& array : dump.arrays) add(dump, array);
    }

    /// Arrays that are called by parameters are their gradients where nothing else is in the file.
    void take_parameters() {
        for (Layer& l : layers) {
            if (!l.arrays.empty()) continue;
            std::erase_if(l.left_out, [&](const LeftOut& left) {
                const auto found = gradient_of_parameter(split_name(left.array->name).path, gradients_);
                if (found) l.gradients.push_back({left.array, {*found}});
                return found.has_value();
            });
        }
    }

  private:
    Layer& layer(const Dump& dump, const std::string& name, std::optional<Index> number) {
        for (Layer& l : layers)
            if (l.dump == &dump && l.name == name) return l;
        Layer& made = layers.emplace_back();
        made.name = name;
        made.number = number;
        made.dump = &dump;
        return made;
    }

    void add(const Dump& dump, GivenArray& array) {
        SplitName split = split_name(array.name);
        const auto number = dump.layer ? dump.layer : dump.number;
        if (number && split.layer.empty()) {
            split.layer = (dump.layer ? "layer " : "document ") + std::to_string(*number);
            split.number = number;
        }
        // "layer_03": an array that is called by its layer alone.
        if (!array.name.empty() && split.stage == array.name)
            if (const auto own = layer_number(split.stage)) {
                split = {split.stage, "", own, ""};
                array.name.clear();
            }
        Layer& l = layer(dump, split.layer, split.number);
        if (array.name.empty()) return l.arrays.push_back({&array, Stage::output, Layout::unknown});
        NamedArray named{&array, Stage::output, Layout::unknown};
        if (auto meaning = gradient_meaning(map_, split.path, gradients_)) {
            if (meaning->among.empty())
                l.left_out.push_back({&array, split.stage,
                                      gradients_.empty() ? "a gradient: \"gradient\" in ours says what enters"
                                                         : "ours has no such gradient"});
            else
                l.gradients.push_back({&array, std::move(meaning->among), meaning->layout});
            return;
        }
        if (const NameRow* row = row_as_saved(map_, split.path)) {
            const std::optional<Stage> stage = stage_of(*row, order_);
            if (!stage) {
                l.left_out.push_back({&array, split.stage, std::string(why_left_out(row->means))});
                return;
            }
            named.stage = *stage;
            named.layout = row->layout;
        } else if (const auto stage = stage_named(split.stage)) {
            named.stage = *stage;
        } else {
            l.left_out.push_back({&array, split.stage, hint_for(split.stage, map_)});
            return;
        }
        for (const NamedArray& other : l.arrays) {
            if (other.stage != named.stage || other.array->name.empty()) continue;
            Error error(Exit::input, {},
                        visible(other.array->name) + " and " + visible(array.name) + " are both " +
                            std::string(info_of(named.stage).name),
                        "keep one of them, or number the layers: layers.0." + split.stage);
            error.place.file = dump.file;
            throw error;
        }
        l.arrays.push_back(named);
    }

    NameMap map_;
    std::span<const Stage> order_;
    std::span<const OwnGradient> gradients_;
};

}  // namespace

std::span<const std::string_view> map_names() { return names_of_maps; }

std::string hint_by_maps(std::string_view name) {
    for (const NameRow& row : rows)
        if (row.name == name) return "did you mean \"" + std::string(info_of(row.stage).name) + "\"?";
    return {};
}

std::string stage_hint(std::string_view name) {
    std::string mapped = hint_by_maps(name);
    if (!mapped.empty()) return mapped;
    std::vector<std::string_view> names;
    for (const StageInfo& s : all_stages()) names.push_back(s.name);
    return did_you_mean(name, names);
}

bool is_stage_path(const std::string& path) {
    return stage_named(path).has_value() || row_as_saved(NameMap::own, path) != nullptr;
}

std::optional<StageByName> stage_by_name(NameMap map, std::string_view path) {
    if (const NameRow* row = row_as_saved(map, path); row && row->means == Means::stage)
        return StageByName{row->stage, row->layout};
    if (const auto stage = stage_named(path)) return StageByName{*stage, Layout::unknown};
    return std::nullopt;
}

std::vector<Layer> understand(std::vector<Dump>& dumps, NameMap map, std::span<const Stage> order,
                              std::span<const OwnGradient> gradients) {
    Sorter sorter(map, order, gradients);
    for (Dump& dump : dumps) unpack_gradients(dump);
    for (Dump& dump : dumps) sorter.add(dump);
    sorter.take_parameters();
    for (Layer& l : sorter.layers)
        std::stable_sort(l.arrays.begin(), l.arrays.end(),
                         [](const NamedArray& a, const NamedArray& b) { return a.stage < b.stage; });
    std::stable_sort(sorter.layers.begin(), sorter.layers.end(), [](const Layer& a, const Layer& b) {
        return a.number.value_or(-1) < b.number.value_or(-1);
    });
    return std::move(sorter.layers);
}

}  // namespace attn
