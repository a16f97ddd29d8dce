#include "lib/diff/cut.hpp"

#include <algorithm>
#include <array>

#include "lib/error.hpp"

namespace attn {
namespace {

using List = std::vector<Index>;

const List* find_axis(const Selection& selection, std::string_view axis) {
    for (const AxisPart& part : selection)
        if (part.axis == axis) return &part.indices;
    return nullptr;
}

/// How the numbers of one axis of a stage come from those of a selection's axis.
enum class Counted { as_said, kv_heads, grouped_heads, paired_heads, paired_kv_heads, new_keys };

struct StageAxis {
    const char* name = nullptr;  ///< of the selection's axis; null: it is never cut
    Counted counted = Counted::as_said;
};

/// The axes batch, head, row, column of a stage.
std::array<StageAxis, 4> axes_of_selection(Stage stage, StageShape family, const TraceAxes& how) {
    const bool source = info_of(stage).phase == Phase::source;
    std::array<StageAxis, 4> out;
    if (is_of_parameter(family) || family == StageShape::past_taps) return out;  // shown whole
    out[0] = {"batch"};
    if (has_heads(family) && family != StageShape::shared_keys)
        out[1] = {"head",
                  how.pairing && source && is_values(stage) ? Counted::paired_kv_heads
                  : how.pairing && !source && (family == StageShape::query_dim || has_paired_heads(family))
                      ? Counted::paired_heads
                  : has_grouped_heads(family) ? Counted::grouped_heads
                  : has_kv_heads(family)      ? Counted::kv_heads
                                              : Counted::as_said};
    switch (row_kind(family)) {
        case RowKind::queries:
            out[2] = {"query"};
            break;
        case RowKind::new_keys:
            out[2] = {"key", Counted::new_keys};
            break;
        case RowKind::all_keys:
        case RowKind::past_keys:
            out[2] = {"key"};
            break;
        case RowKind::whole:  // a number for each token lies as a row of one column
            if (family == StageShape::per_key) out[2] = {"key", Counted::new_keys};
            if (family == StageShape::per_query) out[2] = {"query"};
            break;
    }
    if (has_all_keys(family)) out[3] = {"key"};
    return out;
}

/// The numbers of our axis k, where theirs says them: a trace counts the tokens of a single row as columns.
const List& places_on(const GivenArray& theirs, StageShape family, std::size_t k) {
    constexpr std::size_t row = 2, column = 3;
    static const List none;
    if (!has_one_row(family) || k < row) return theirs.places[k];
    return k == row ? theirs.places[column] : none;
}

/// The numbers of a stage's axis that a selection of the axis leaves.
List numbers_left(const List& selected, Counted counted, Index heads, const TraceAxes& axes, Index length) {
    List out;
    for (const Index k : selected) {
        if (counted == Counted::as_said) {
            out.push_back(k);
        } else if (counted == Counted::kv_heads) {
            const Index group = std::max<Index>(heads / std::max<Index>(length, 1), 1);
            out.push_back(axes.kv_interleaved ? k / group : k % std::max<Index>(length, 1));
        } else if (counted == Counted::paired_heads || counted == Counted::paired_kv_heads) {
            const bool kv = counted == Counted::paired_kv_heads;
            const Index halves = 2 * std::max<Index>(length, 1), group = std::max<Index>(heads / halves, 1);
            const Index half = !kv ? k : axes.kv_interleaved ? k / group : k % halves;
            out.push_back(axes.pairing == Pairing::halves ? half % (halves / 2) : half / 2);
        } else if (counted == Counted::grouped_heads) {
            out.push_back(k / std::max<Index>(heads / std::max<Index>(length, 1), 1));
        } else if (k >= axes.cached_keys && k - axes.cached_keys < length) {
            out.push_back(k - axes.cached_keys);
        }
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

/// Places of `wanted` among `have`; nothing where one is not there.
std::optional<List> places_among(const List& wanted, const List& have) {
    List out;
    for (const Index k : wanted) {
        const auto found = std::lower_bound(have.begin(), have.end(), k);
        if (found == have.end() || *found != k) return std::nullopt;
        out.push_back(static_cast<Index>(found - have.begin()));
    }
    return out;
}

WholeStage taken(const WholeStage& stage, const std::array<List, 4>& places) {
    WholeStage out;
    out.stage = stage.stage;
    out.by_column = stage.by_column;
    out.gradient = stage.gradient;
    out.axes_of_gradient = stage.axes_of_gradient;
    for (const List& axis : places) out.shape.push_back(static_cast<Index>(axis.size()));
    const auto append = [&](auto& to, const auto& from) {
        for (const Index b : places[0])
            for (const Index h : places[1])
                for (const Index r : places[2])
                    for (const Index c : places[3])
                        to.push_back(
                            from[idx(((b * stage.shape[1] + h) * stage.shape[2] + r) * stage.shape[3] + c)]);
    };
    append(out.values, stage.values);
    if (!stage.half_unit.empty()) append(out.half_unit, stage.half_unit);
    return out;
}

/// `wanted` of each axis: the numbers to keep; nothing: all.
std::optional<WholeStage> cut_by(const WholeStage& stage, const Ours& ours,
                                 const std::array<std::optional<List>, 4>& wanted) {
    const auto axes = axes_of_selection(stage.stage, stage.family(), ours.axes);
    std::array<List, 4> places;
    bool whole = true;
    for (std::size_t a = 0; a < 4; ++a) {
        const Index length = stage.shape[a];
        const List* part = axes[a].name ? find_axis(ours.selection, axes[a].name) : nullptr;
        const bool numbered = !part || axes[a].counted == Counted::as_said;
        const List have = part && numbered ? *part : counted(length);
        if (static_cast<Index>(have.size()) != length) return std::nullopt;
        // Which kv heads or new keys a part of ours holds is not known: as many are taken for the same ones.
        if (!wanted[a] || *wanted[a] == have ||
            (!numbered && static_cast<Index>(wanted[a]->size()) == length)) {
            places[a] = counted(length);
            continue;
        }
        if (!numbered) return std::nullopt;
        auto found = places_among(*wanted[a], have);
        if (!found) return std::nullopt;
        places[a] = std::move(*found);
        whole = false;
    }
    if (whole) return std::nullopt;
    return taken(stage, places);
}

/// `state_rows`: of `states`, whose rows are those of each token's state, one state after another; 0: not
/// known.
std::array<std::optional<List>, 4> wanted_of(const WholeStage& stage, const Ours& ours,
                                             const Selection& selection, const TraceAxes& how,
                                             Index state_rows) {
    std::array<std::optional<List>, 4> wanted;
    const auto axes = axes_of_selection(stage.stage, stage.family(), how);
    for (std::size_t a = 0; a < 4; ++a) {
        const List* part = axes[a].name ? find_axis(selection, axes[a].name) : nullptr;
        if (!part) continue;
        const List* have = find_axis(ours.selection, axes[a].name);
        if (have && *have == *part) continue;  // ours is that part already
        wanted[a] = numbers_left(*part, axes[a].counted, ours.heads, how, stage.shape[a]);
    }
    const List *keys = find_axis(selection, "key"), *have = find_axis(ours.selection, "key");
    if (stage.family() == StageShape::states && state_rows > 0 && keys && !have) {
        wanted[2].emplace();
        for (const Index t :
             numbers_left(*keys, Counted::new_keys, ours.heads, how, stage.shape[2] / state_rows))
            for (Index r = 0; r < state_rows; ++r) wanted[2]->push_back(t * state_rows + r);
    }
    return wanted;
}

}  // namespace

std::optional<WholeStage> cut_alike(const WholeStage& stage, const Ours& ours, const GivenArray& theirs,
                                    const Dump& dump) {
    std::array<std::optional<List>, 4> wanted =
        wanted_of(stage, ours, dump.selection, ours.axes.known ? ours.axes : dump.axes,
                  theirs.shape.size() == 5 ? theirs.shape[3] : 0);
    const bool placed = std::any_of(theirs.places.begin(), theirs.places.end(),
                                    [](const List& places) { return !places.empty(); });
    for (std::size_t a = 0; placed && a < 4; ++a)
        if (const List& places = places_on(theirs, stage.family(), a); !places.empty()) wanted[a] = places;
    return cut_by(stage, ours, wanted);
}

void cut(Ours& ours, const Selection& selection) {
    Index state_rows = 0;
    for (const WholeStage& stage : ours.stages)
        if (stage.stage == Stage::state) state_rows = stage.shape[2];
    for (StageSet* set : {&ours.stages, &ours.gradients})
        for (WholeStage& stage : *set)
            if (auto part = cut_by(stage, ours, wanted_of(stage, ours, selection, ours.axes, state_rows)))
                stage = std::move(*part);
    if (const List* heads = find_axis(selection, "head")) ours.heads = static_cast<Index>(heads->size());
    for (const AxisPart& part : selection)
        if (!find_axis(ours.selection, part.axis)) ours.selection.push_back(part);
}

Selection selection_by_places(const Layer& theirs, const Plan& plan) {
    struct PlanAxis {
        const char* name;
        Index length;
        std::optional<List> places{};
    };
    std::array<PlanAxis, 4> axes{
        {{"batch", plan.batch}, {"head", plan.heads}, {"query", plan.queries}, {"key", plan.keys}}};
    for (const NamedArray& a : theirs.arrays) {
        if (a.array->name.empty()) continue;
        const StageShape family = info_of(a.stage).shape;
        TraceAxes how;
        if (plan.differential) how.pairing = plan.differential->pairing;
        const auto of_stage = axes_of_selection(a.stage, family, how);
        for (std::size_t k = 0; k < 4; ++k) {
            const List& places = places_on(*a.array, family, k);
            if (places.empty() || !of_stage[k].name || of_stage[k].counted != Counted::as_said) continue;
            for (PlanAxis& axis : axes) {
                if (std::string_view(axis.name) != of_stage[k].name) continue;
                if (places.back() >= axis.length || (axis.places && *axis.places != places)) return {};
                axis.places = places;
            }
        }
    }
    Selection out;
    for (const PlanAxis& axis : axes)
        if (axis.places && static_cast<Index>(axis.places->size()) < axis.length)
            out.push_back({axis.name, *axis.places});
    return out;
}

Selection selection_of(const Plan& plan) {
    Selection out;
    const auto add = [&](const char* name, const AxisSelection& s) {
        if (!s.all) out.push_back({name, s.indices});
    };
    add("batch", plan.batch_shown);
    add("head", plan.heads_shown);
    add("query", plan.queries_shown);
    add("key", plan.keys_shown);
    return out;
}

}  // namespace attn
