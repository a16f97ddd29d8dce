// Names of gradients, of PyTorch and of those who write the backward pass by hand.
#include "lib/theirs/gradient_names.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "lib/input/weight_names.hpp"

namespace attn {
namespace {

/// What a name is the gradient of.
enum class Of {
    queries,  ///< as the scores read them
    keys,
    values,
    softmax_scores,  ///< what the softmax reads
    weights,
    result,  ///< contexts, joined heads, the output: whichever has the shape
    stage,
    input,
    weight  ///< a parameter, by its role
};

struct GradientRow {
    NameMap map;  ///< own: understood with every map
    std::string_view name;
    Of of;
    Stage stage = Stage::output;
    WeightRole role = WeightRole::query;
    bool bias = false;
};

constexpr GradientRow weight_row(NameMap map, std::string_view name, WeightRole role, bool bias = false) {
    return {map, name, Of::weight, Stage::output, role, bias};
}

constexpr auto every = NameMap::own, llmc = NameMap::llmc, micrograd = NameMap::micrograd;

/// THE TABLE of names of gradients: as they stand behind "d", "d_", "grad_" or before ".grad". Those of
/// kernels are of flash-attention (flash_attn_interface.py), of llm.c its train_gpt2.c, of micrograd
/// makemore's lecture on the backward pass and nanoGPT's names of modules.
constexpr GradientRow gradient_rows[] = {
    {every, "q", Of::queries},
    {every, "k", Of::keys},
    {every, "v", Of::values},
    {every, "Q", Of::queries},
    {every, "K", Of::keys},
    {every, "V", Of::values},
    {every, "query", Of::queries},
    {every, "key", Of::keys},
    {every, "value", Of::values},
    {every, "S", Of::softmax_scores},
    {every, "s", Of::softmax_scores},
    {every, "P", Of::weights},
    {every, "p", Of::weights},
    {every, "O", Of::result},
    {every, "o", Of::result},
    {every, "out", Of::result},
    {every, "Out", Of::result},
    {every, "output", Of::result},
    {every, "x", Of::input},
    {every, "X", Of::input},
    {every, "input", Of::input},
    {every, "hidden_states", Of::input},
    {every, "bias", Of::stage, Stage::biased_scores},
    {every, "attn_weights", Of::weights},
    {every, "attn_scores", Of::stage, Stage::scores},
    {llmc, "preatt", Of::stage, Stage::scaled_scores},
    {llmc, "att", Of::weights},
    {llmc, "atty", Of::result},
    weight_row(llmc, "qkvw", WeightRole::packed),
    weight_row(llmc, "qkvb", WeightRole::packed, true),
    weight_row(llmc, "attprojw", WeightRole::output),
    weight_row(llmc, "attprojb", WeightRole::output, true),
    {micrograd, "wei", Of::weights},
    {micrograd, "att", Of::weights},
    {micrograd, "scores", Of::stage, Stage::scores},
    weight_row(micrograd, "Wq", WeightRole::query),
    weight_row(micrograd, "Wk", WeightRole::key),
    weight_row(micrograd, "Wv", WeightRole::value),
    weight_row(micrograd, "Wo", WeightRole::output),
    weight_row(micrograd, "proj.weight", WeightRole::output),
    weight_row(micrograd, "proj.bias", WeightRole::output, true),
};

/// Arrays of three gradients.
constexpr std::array<std::string_view, 5> packed_names{"dqkv", "d_qkv", "dqkvr", "dinp", "qkv.grad"};

/// A name of ours as paths have it: "d_query/kernel" with a point.
std::string path_of(std::string name) {
    std::replace(name.begin(), name.end(), '/', '.');
    return name;
}

/// Behind the last of these points of a path stands a name, and behind each a longer one.
std::vector<std::string_view> ends_of(std::string_view path) {
    std::vector<std::string_view> out{path};
    for (std::size_t at = path.find('.'); at != std::string_view::npos; at = path.find('.', at + 1))
        out.push_back(path.substr(at + 1));
    return out;
}

/// What a name says that its array is the gradient of, and how it says so; likeliest first.
struct Inner {
    std::string name;
    bool exact = false;  ///< "d_scores", "W_query.weight.grad": no mere letter before a word
};
std::vector<Inner> inner_names(std::string_view path) {
    std::vector<Inner> out;
    for (const std::string_view end : {".grad", "_grad"})
        if (path.ends_with(end)) {
            const std::string_view rest = path.substr(0, path.size() - end.size());
            for (const std::string_view name : ends_of(rest)) out.push_back({std::string(name), true});
        }
    for (const std::string_view name : ends_of(path)) {
        for (const std::string_view begin : {"d_", "grad_"})
            if (name.starts_with(begin)) out.push_back({std::string(name.substr(begin.size())), true});
        if (name.size() > 1 && name.starts_with('d')) out.push_back({std::string(name.substr(1)), false});
    }
    return out;
}

const GradientRow* gradient_row(NameMap map, std::string_view name) {
    for (const bool own : {true, false})
        for (const GradientRow& row : gradient_rows)
            if (row.name == name && (own ? row.map == map : row.map == every)) return &row;
    return nullptr;
}

class Meaning {
  public:
    explicit Meaning(std::span<const OwnGradient> own) : own_(own) {}

    std::vector<std::string> of_stages(std::string_view end) const {
        return those([&](const OwnGradient& g) {
            const std::string_view name = info_of(g.stage).name;
            return g.of == StageOf::gradient && name.ends_with(end) && name != "rope_keys";
        });
    }
    std::vector<std::string> of_stage(Stage stage) const {
        return those([&](const OwnGradient& g) { return g.of == StageOf::gradient && g.stage == stage; });
    }
    std::vector<std::string> named(std::string_view name) const {
        return those([&](const OwnGradient& g) { return path_of(g.name.substr(2)) == name; });
    }
    std::vector<std::string> of_role(WeightRole role, bool bias) const {
        return those([&](const OwnGradient& g) {
            const WeightName* weight = g.of == StageOf::parameter ? weight_named(g.name.substr(2)) : nullptr;
            return weight && weight->role == role && weight->bias == bias;
        });
    }
    std::vector<std::string> of_row(const GradientRow& row) const {
        switch (row.of) {
            case Of::queries:
                return of_stages("queries");
            case Of::keys:
                return of_stages("keys");
            case Of::values:
                return of_stages("values");
            case Of::softmax_scores:
                return those(
                    [](const OwnGradient& g) { return g.of == StageOf::gradient && is_score(g.stage); });
            case Of::weights: {
                std::vector<std::string> out = of_stage(Stage::weights);
                for (std::string& more : of_stages("weights"))
                    if (out.empty() || more != out.front()) out.push_back(std::move(more));
                return out;
            }
            case Of::result: {
                std::vector<std::string> out;
                for (const Stage s : {Stage::context, Stage::concat, Stage::output})
                    for (std::string& one : of_stage(s)) out.push_back(std::move(one));
                return out;
            }
            case Of::stage:
                if (row.stage == Stage::biased_scores && !named("position_bias").empty())
                    return named("position_bias");
                return of_stage(row.stage);
            case Of::input:
                return those([](const OwnGradient& g) { return g.of == StageOf::input; });
            case Of::weight:
                break;
        }
        return of_role(row.role, row.bias);
    }

  private:
    template <class F>
    std::vector<std::string> those(const F& wanted) const {
        std::vector<std::string> out;
        for (const OwnGradient& g : own_)
            if (wanted(g)) out.push_back(g.name);
        return out;
    }

    std::span<const OwnGradient> own_;
};

}  // namespace

std::vector<OwnGradient> own_gradients(const Plan& plan) {
    std::vector<OwnGradient> out;
    for (const PlannedStage& s : plan.gradients) out.push_back({s.name, s.of, s.stage});
    return out;
}

std::optional<OwnGradient> own_gradient_named(std::string_view name) {
    if (!name.starts_with("d_")) return std::nullopt;
    const std::optional<Stage> stage = stage_named(name.substr(2));
    if (!stage) return std::nullopt;
    return OwnGradient{std::string(name), StageOf::gradient, *stage};
}

std::optional<GradientMeaning> gradient_meaning(NameMap map, std::string_view path,
                                                std::span<const OwnGradient> own) {
    const Meaning meaning(own);
    for (const std::string_view name : ends_of(path))
        for (const OwnGradient& g : own)
            if (path_of(g.name) == name) return GradientMeaning{{g.name}};
    bool known = false;
    for (const Inner& inner : inner_names(path)) {
        std::vector<std::string> among = meaning.named(inner.name);
        Layout layout = Layout::unknown;
        if (among.empty()) {
            const GradientRow* row = gradient_row(map, inner.name);
            const WeightName* weight = weight_named(inner.name);
            // "dscale" is no gradient for the letter that it begins with.
            known = known || inner.exact || row || weight || stage_named(inner.name);
            if (row) {
                among = meaning.of_row(*row);
            } else if (weight) {
                among = meaning.of_role(weight->role, weight->bias);
            } else if (inner.exact || stage_named(inner.name)) {
                const auto named = stage_by_name(map, inner.name);
                if (named) among = meaning.of_stage(named->stage);
                if (named) layout = named->layout;
            }
        }
        if (!among.empty()) return GradientMeaning{std::move(among), layout};
    }
    if (!known) return std::nullopt;
    return GradientMeaning{};
}

std::optional<std::string> gradient_of_parameter(std::string_view path, std::span<const OwnGradient> own) {
    for (const std::string_view name : ends_of(path))
        for (const OwnGradient& g : own)
            if (g.of == StageOf::parameter && path_of(g.name.substr(2)) == name) return g.name;
    return std::nullopt;
}

bool is_gradient_name(std::string_view path) {
    if (std::find(packed_names.begin(), packed_names.end(), path) != packed_names.end()) return true;
    return gradient_meaning(NameMap::own, path, {}).has_value();
}

void unpack_gradients(Dump& dump) {
    for (std::size_t k = 0; k < dump.arrays.size(); ++k) {
        const std::string_view whole = dump.arrays[k].name;
        const auto is_packed = [&](std::string_view name) {
            return whole == name || (whole.ends_with(name) && whole[whole.size() - name.size() - 1] == '.');
        };
        const auto found = std::find_if(packed_names.begin(), packed_names.end(), is_packed);
        if (found == packed_names.end()) continue;
        const GivenArray packed = dump.arrays[k];
        Shape shape = packed.shape;
        std::size_t axis = shape.size();
        for (std::size_t a = 0; a + 1 < shape.size() && axis == shape.size(); ++a)
            if (shape.size() > 3 && shape[a] == 3 && (a == 0 || a + 3 == shape.size())) axis = a;
        if (axis == shape.size()) {
            if (shape.empty() || shape.back() % 3 != 0) continue;
            shape.back() /= 3;
            axis = shape.size() - 1;
            shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), 3);
        }
        Index inner = 1;
        for (std::size_t a = axis + 1; a < shape.size(); ++a) inner *= shape[a];
        shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
        const std::string before = packed.name.substr(0, packed.name.size() - found->size());
        std::array<GivenArray, 3> parts;
        constexpr std::array<const char*, 3> names{"dq", "dk", "dv"};
        for (std::size_t part = 0; part < parts.size(); ++part) {
            GivenArray& to = parts[part];
            to = packed;
            to.name = before + names[part];
            to.shape = shape;
            const auto take = [&](auto& numbers) {
                auto all = std::exchange(numbers, {});
                for (std::size_t from = part * idx(inner); from < all.size(); from += 3 * idx(inner))
                    numbers.insert(numbers.end(), all.begin() + static_cast<std::ptrdiff_t>(from),
                                   all.begin() + static_cast<std::ptrdiff_t>(from + idx(inner)));
            };
            take(to.values);
            take(to.half_unit);
        }
        const auto place = dump.arrays.erase(dump.arrays.begin() + static_cast<std::ptrdiff_t>(k));
        dump.arrays.insert(place, std::make_move_iterator(parts.begin()),
                           std::make_move_iterator(parts.end()));
        k += 2;
    }
}

}  // namespace attn
