#include "lib/theirs/names.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "lib/error.hpp"
#include "lib/option_words.hpp"
#include "lib/text.hpp"

namespace attn {
namespace {

constexpr std::array<std::string_view, 6> names_of_maps{"own",  "tutorial",  "tlens",
                                                        "onnx", "onnx-1.21", "llama"};

/// What a name of another system stands for.
enum class Means {
    stage,        ///< this stage
    last_of,      ///< the last of some stages that there is
    last_scores,  ///< the scores that the softmax reads
    before_scale  ///< masked scores that are not scaled yet
};

struct NameRow {
    NameMap map;
    std::string_view name;
    Means means;
    Stage stage;
    Layout layout = Layout::unknown;
    std::span<const Stage> among = {};  ///< last_of
};

constexpr auto tutorial = NameMap::tutorial, tlens = NameMap::tlens, onnx = NameMap::onnx,
               old_onnx = NameMap::onnx_1_21, llama = NameMap::llama;
constexpr auto same = Means::stage;
constexpr auto tokens_first = Layout::tokens_first;
constexpr std::array to_scale{Stage::scores, Stage::scaled_scores};
constexpr std::array to_cap{Stage::scores, Stage::scaled_scores, Stage::capped_scores};

constexpr NameRow last_of(NameMap map, std::string_view name, std::span<const Stage> stages) {
    return {map, name, Means::last_of, stages.back(), Layout::unknown, stages};
}

/// THE TABLE of names of other systems. Before 1.22 ONNX counted its modes 1 and 2 the other way round.
constexpr std::array rows{
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
    NameRow{llama, "kq", same, Stage::scores},
    NameRow{llama, "kq_soft_max", same, Stage::weights},
    NameRow{llama, "kq_soft_max_ext", same, Stage::weights},
    NameRow{llama, "kqv", same, Stage::context},
    NameRow{llama, "kqv_merged", same, Stage::concat},
    NameRow{llama, "kqv_merged_cont", same, Stage::concat},
    NameRow{llama, "kqv_out", same, Stage::concat},
};

/// The row of a name: the older ONNX falls back on the newer one's.
const NameRow* row_of(NameMap map, std::string_view name) {
    for (const NameRow& row : rows)
        if (row.map == map && row.name == name) return &row;
    return map == old_onnx ? row_of(onnx, name) : nullptr;
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
        }
    }
    // A stage that is not there is still called by its name; without a second head contexts are all there is.
    if (row.stage == Stage::concat && !found && row.means == Means::stage) return Stage::context;
    return row.means == Means::stage ? row.stage : found;
}

bool is_number(std::string_view text) {
    return !text.empty() && text.size() < 10 &&
           text.find_first_not_of("0123456789") == std::string_view::npos;
}

/// "3", "layer3", "layer_3", "h-3"
std::optional<Index> layer_number(std::string_view part) {
    const std::size_t digits = part.find_last_not_of("0123456789") + 1;
    std::string_view word = part.substr(0, digits);
    if (!is_number(part.substr(digits))) return std::nullopt;
    while (word.ends_with('_') || word.ends_with('-')) word.remove_suffix(1);
    constexpr std::array<std::string_view, 8> words{"",       "layer", "layers", "block",
                                                    "blocks", "h",     "l",      "document"};
    if (std::find(words.begin(), words.end(), word) == words.end()) return std::nullopt;
    return std::stoll(std::string(part.substr(digits)));
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
    Sorter(NameMap map, std::span<const Stage> order) : map_(map), order_(order) {}

    std::vector<Layer> layers;

    void add(Dump& dump) {
        for (GivenArray& array : dump.arrays) add(dump, array);
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
        if (dump.number && split.layer.empty()) {
            split.layer = "document " + std::to_string(*dump.number);
            split.number = dump.number;
        }
        Layer& l = layer(dump, split.layer, split.number);
        if (array.name.empty()) return l.arrays.push_back({&array, Stage::output, Layout::unknown});
        NamedArray named{&array, Stage::output, Layout::unknown};
        if (const NameRow* row = row_of(map_, split.stage)) {
            const std::optional<Stage> stage = stage_of(*row, order_);
            if (!stage) {
                l.left_out.push_back({&array, split.stage,
                                      row->means == Means::before_scale
                                          ? "masked before the scale, and ours is after it: \"mask_at\": "
                                            "\"scores\" masks there"
                                          : "ours has no such stage"});
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

SplitName split_name(std::string_view name) {
    SplitName out;
    std::size_t from = 0;
    while (true) {
        const std::size_t end = std::min(name.find_first_of("./", from), name.size());
        const std::string_view part = name.substr(from, end - from);
        if (end == name.size()) {
            out.stage = part;
            break;
        }
        if (const auto number = layer_number(part)) {
            out.layer = name.substr(0, end);
            out.number = number;
        }
        from = end + 1;
    }
    // kq_soft_max-3
    const std::size_t dash = out.stage.rfind('-');
    if (!out.number && dash != std::string::npos && is_number(std::string_view(out.stage).substr(dash + 1))) {
        out.number = std::stoll(out.stage.substr(dash + 1));
        out.layer = "layer " + std::to_string(*out.number);
        out.stage.resize(dash);
    }
    return out;
}

std::vector<Layer> understand(std::vector<Dump>& dumps, NameMap map, std::span<const Stage> order) {
    Sorter sorter(map, order);
    for (Dump& dump : dumps) sorter.add(dump);
    for (Layer& l : sorter.layers)
        std::stable_sort(l.arrays.begin(), l.arrays.end(),
                         [](const NamedArray& a, const NamedArray& b) { return a.stage < b.stage; });
    std::stable_sort(sorter.layers.begin(), sorter.layers.end(), [](const Layer& a, const Layer& b) {
        return a.number.value_or(-1) < b.number.value_or(-1);
    });
    return std::move(sorter.layers);
}

}  // namespace attn
