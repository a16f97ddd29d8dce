#include "lib/theirs/align.hpp"

#include <algorithm>
#include <array>
#include <iterator>

namespace attn {
namespace {

namespace axis_of {
constexpr std::size_t b = 0, h = 1, r = 2, c = 3;  // places of our axes: batch, head, row, column
}

/// An order of axes: those of one group are one axis of theirs.
using Groups = std::vector<std::vector<std::size_t>>;

/// Our axes: names and lengths, in the order of our memory.
struct Axes {
    std::array<std::string, 4> names;
    std::array<Index, 4> lengths;
};

std::vector<Groups> orders_of(StageShape family) {
    using axis_of::b, axis_of::h, axis_of::r, axis_of::c;
    switch (family) {
        case StageShape::query_key:
        case StageShape::paired_cells:
            return {{{b}, {h}, {r}, {c}},
                    {{b, h}, {r}, {c}},
                    {{h}, {b}, {r}, {c}},
                    {{b}, {r}, {h}, {c}},
                    {{b}, {h}, {c}, {r}}};
        case StageShape::embedded:
        case StageShape::merged_queries:
        case StageShape::merged:
        case StageShape::merged_keys:  // batch, token, and columns as [head, dim]
            return {{{b}, {h}, {r, c}}, {{b}, {h}, {r}, {c}}, {{b}, {r}, {h}, {c}},
                    {{h}, {b}, {r, c}}, {{h}, {b}, {r}, {c}}, {{b}, {r, c}, {h}}};
        case StageShape::per_key:  // [batch, head, token, 1]
        case StageShape::per_query:
            return {{{b}, {h}, {r}, {c}}, {{b}, {r}, {h}, {c}}};
        case StageShape::merged_cells:
        case StageShape::state:
        case StageShape::states:
            return {{{b}, {h}, {r}, {c}}, {{b}, {h}, {c}, {r}}};
        case StageShape::query_dim:
        case StageShape::grouped_queries:
        case StageShape::paired_queries:
        case StageShape::key_dim:
        case StageShape::grouped_keys:
        case StageShape::all_key_dim:
        case StageShape::paired_keys:
        case StageShape::paired_all_keys:
        case StageShape::shared_keys:
        case StageShape::past_key_dim:
        case StageShape::paired_past_keys:
            break;
        // Of parameters and of what stands before the first token: as ours, or a matrix the other way round.
        case StageShape::merged_past_keys:
        case StageShape::past_taps:
        case StageShape::vector:
        case StageShape::per_head:
        case StageShape::head_vectors:
        case StageShape::matrix_in_out:
        case StageShape::matrix_out_in:
        case StageShape::matrices_in_out:
        case StageShape::matrices_out_in:
        case StageShape::split_kernel:
        case StageShape::taps:
        case StageShape::bias_cells:
        case StageShape::item_bias_cells:
        case StageShape::bucket_heads:
            return {{{b}, {h}, {r}, {c}}, {{b}, {h}, {c}, {r}}};
    }
    return {{{b}, {h}, {r}, {c}}, {{b}, {r}, {h}, {c}}, {{b}, {r}, {h, c}},   {{b, h}, {r}, {c}},
            {{r}, {b}, {h}, {c}}, {{r}, {b}, {h, c}},   {{b}, {h}, {c}, {r}}, {{h}, {b}, {r}, {c}}};
}

Axes axes_of_stage(const WholeStage& ours, Index heads) {
    using axis_of::b, axis_of::h, axis_of::r, axis_of::c;
    const StageShape family = ours.family();
    if (is_of_parameter(family) || family == StageShape::past_taps) {
        // The axes of a parameter are the last ones.
        Axes out{{"1", "1", "1", "1"}, {ours.shape[b], ours.shape[h], ours.shape[r], ours.shape[c]}};
        std::size_t to = out.names.size();
        const auto names = axes_of(family);
        for (std::size_t k = names.size(); k-- > 0;) out.names[--to] = name_of(names[k]);
        return out;
    }
    if (!has_heads(family) && family != StageShape::merged_cells) {
        const bool splits = heads > 1 && ours.shape[c] % heads == 0;
        const Index parts = splits ? heads : 1;
        return {{"batch", family == StageShape::merged_keys ? "key" : "query", "head", "dim"},
                {ours.shape[b], ours.shape[r], parts, ours.shape[c] / parts}};
    }
    const auto names = axes_of(family);
    if (family == StageShape::merged_cells)
        return {{"batch", "head", "query", "key"}, {ours.shape[b], 1, ours.shape[r], ours.shape[c]}};
    return {{"batch", "head", std::string(name_of(names[2])),
             has_one_row(family) ? "1" : std::string(name_of(names.back()))},
            {ours.shape[b], ours.shape[h], ours.shape[r], ours.shape[c]}};
}

Shape squeezed(const Shape& shape) {
    Shape out;
    std::copy_if(shape.begin(), shape.end(), std::back_inserter(out), [](Index n) { return n != 1; });
    return out;
}

Shape shape_of(const Groups& groups, const Axes& axes) {
    Shape out;
    for (const auto& group : groups) {
        Index length = 1;
        for (const std::size_t axis : group) length *= axes.lengths[axis];
        out.push_back(length);
    }
    return out;
}

/// The axes that matter, in their order: two orders with equal ones are one.
std::vector<std::size_t> order_of(const Groups& groups, const Axes& axes) {
    std::vector<std::size_t> out;
    for (const auto& group : groups)
        for (const std::size_t axis : group)
            if (axes.lengths[axis] != 1) out.push_back(axis);
    return out;
}

std::string words_of(const Groups& groups, const Axes& axes) {
    std::string out;
    for (const auto& group : groups) {
        std::string word;
        for (const std::size_t axis : group) word += (word.empty() ? "" : "*") + axes.names[axis];
        out += (out.empty() ? "[" : ", ") + word;
    }
    return out + "]";
}

/// Columns before rows: a matrix whose sides are equal may always be that, and being so is a mistake.
bool exchanges(const Groups& groups) {
    std::size_t last_row = 0, first_column = 9, place = 0;
    for (const auto& group : groups)
        for (const std::size_t axis : group) {
            if (axis == axis_of::r) last_row = place;
            if (axis == axis_of::c) first_column = place;
            ++place;
        }
    return first_column < last_row;
}

template <class T>
std::vector<T> moved(std::vector<T>&& theirs, const std::vector<std::size_t>& order, const Axes& axes) {
    if (theirs.empty() || std::is_sorted(order.begin(), order.end())) return std::move(theirs);
    std::array<Index, 4> stride{};
    for (std::size_t axis = 4, n = 1; axis-- > 0;) {
        stride[axis] = static_cast<Index>(n);
        n *= static_cast<std::size_t>(axes.lengths[axis]);
    }
    std::vector<T> out(theirs.size());
    std::vector<Index> at(order.size(), 0);
    Index to = 0;
    for (const T& value : theirs) {
        out[idx(to)] = value;
        for (std::size_t k = order.size(); k-- > 0;) {
            to += stride[order[k]];
            if (++at[k] < axes.lengths[order[k]]) break;
            to -= stride[order[k]] * at[k];
            at[k] = 0;
        }
    }
    return out;
}

struct FoundOrder {
    Groups groups;
    std::vector<std::size_t> order;
    std::string other;
};

std::optional<FoundOrder> find_order(const GivenArray& theirs, const WholeStage& ours, const Axes& axes,
                                     Layout layout) {
    const StageShape family = ours.family();
    std::vector<Groups> orders = orders_of(family);
    if (layout == Layout::tokens_first && has_heads(family) && !has_all_keys(family))
        std::swap(orders[0], orders[1]);
    const Shape found = family == StageShape::states ? ours.shape : theirs.shape;
    if (theirs.values.size() != ours.values.size()) return std::nullopt;
    if (theirs.computed) {
        if (theirs.axes.front() == name_of(Axis::batch) && theirs.shape.front() != ours.shape.front())
            return std::nullopt;
        orders.resize(1);
    }
    std::optional<FoundOrder> taken;
    for (Groups& groups : orders) {
        if (squeezed(shape_of(groups, axes)) != squeezed(found)) continue;
        std::vector<std::size_t> order = order_of(groups, axes);
        if (!taken)
            taken = FoundOrder{std::move(groups), std::move(order), {}};
        else if (order != taken->order && taken->other.empty() && !exchanges(groups))
            taken->other = words_of(groups, axes);
    }
    return taken;
}

bool is_merged(StageShape family) { return !has_heads(family); }

}  // namespace

bool fits(const GivenArray& theirs, const WholeStage& ours, Index heads, Layout layout) {
    return find_order(theirs, ours, axes_of_stage(ours, heads), layout).has_value();
}

std::optional<Aligned> align(GivenArray theirs, const WholeStage& ours, Index heads, Layout layout) {
    const Axes axes = axes_of_stage(ours, heads);
    auto found = find_order(theirs, ours, axes, layout);
    if (!found) return std::nullopt;
    const std::vector<std::size_t>& order = found->order;
    Aligned out;
    out.other = std::move(found->other);
    const Groups* taken = &found->groups;
    const bool merged_columns = std::any_of(taken->begin(), taken->end(), [&](const auto& group) {
        Index real = 0;
        for (const std::size_t axis : group) real += axes.lengths[axis] != 1;
        return real > 1;
    });
    if (!std::is_sorted(order.begin(), order.end()) || (merged_columns && !is_merged(ours.family())))
        out.said = "read as " + words_of(*taken, axes);
    out.stage.stage = ours.stage;
    out.stage.shape = ours.shape;
    out.stage.by_column = ours.by_column;
    out.stage.gradient = ours.gradient;
    out.stage.axes_of_gradient = ours.axes_of_gradient;
    out.stage.values = moved(std::move(theirs.values), order, axes);
    out.stage.half_unit = moved(std::move(theirs.half_unit), order, axes);
    return out;
}

std::optional<WholeStage> own_stage(GivenArray array, Stage stage) {
    WholeStage out;
    out.stage = stage;
    Shape shape = array.shape;
    out.by_column = info_of(stage).shape == StageShape::per_key &&
                    (shape.size() > 3 ||
                     std::find(array.axes.begin(), array.axes.end(), name_of(Axis::dim)) != array.axes.end());
    const StageShape family = out.family();
    const auto names = axes_of(family);
    if (!array.axes.empty() && array.axes.size() == shape.size() && array.axes.size() < names.size()) {
        Shape whole;  // squeezed: the axes that are named lie where their names stand
        std::size_t next = 0;
        for (const Axis axis : names) {
            const bool there = next < array.axes.size() && array.axes[next] == name_of(axis);
            whole.push_back(there ? shape[next++] : 1);
        }
        if (next == array.axes.size()) shape = whole;
    }
    const bool merged = is_merged(family);
    if (family == StageShape::states && shape.size() == 5)
        shape = {shape[0], shape[1], shape[2] * shape[3], shape[4]};
    if (has_one_row(family) && shape.size() == 3) shape.push_back(1);
    if (has_one_row(family) && shape.size() == 4 && shape[2] == 1) std::swap(shape[2], shape[3]);
    if (merged && shape.size() <= 3) {
        while (shape.size() < 3) shape.insert(shape.begin(), 1);
        shape.insert(shape.begin() + 1, 1);
    }
    if (shape.size() > 4) return std::nullopt;
    out.shape = four_axes(shape);
    out.values = std::move(array.values);
    return out;
}

std::array<Index, 4> four_by_axes(StageShape family, const Shape& s) {
    const std::size_t axes = s.size();
    if (family == StageShape::states && axes == 5) return {s[0], s[1], s[2] * s[3], s[4]};
    if (is_of_parameter(family) || axes > 3 || axes < 3) {
        const Shape four = four_axes(s);
        return {four[0], four[1], four[2], four[3]};
    }
    if (has_one_row(family)) return {s[0], s[1], s[2], 1};
    return {s[0], 1, s[1], s[2]};
}

std::vector<std::string> names_by_axes(StageShape family) {
    if (family == StageShape::states) return {"batch", "head", "key*dim", "dim"};
    std::vector<std::string> names;
    for (const Axis axis : axes_of(family)) names.emplace_back(name_of(axis));
    return names;
}

Shape shape_by_axes(const WholeStage& stage) {
    Shape shape = stage.shape;
    if (shape.size() != 4) return shape;
    if (is_of_parameter(stage.family()))
        return {shape.end() - static_cast<std::ptrdiff_t>(axes_of(stage.family()).size()), shape.end()};
    if (is_merged(stage.family()) && shape[1] == 1) shape.erase(shape.begin() + 1);
    if (has_one_row(stage.family())) shape.pop_back();
    return shape;
}

}  // namespace attn
