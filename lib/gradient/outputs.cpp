// From what enters at the result to the contexts.
#include <algorithm>
#include <cmath>

#include "lib/gradient/backward.hpp"
#include "lib/run/ops.hpp"

namespace attn::gradient {
namespace {

/// The slope of what opens a gate.
double slope_of_opening(GateActivation activation, double z) {
    const double s = ops::sigmoid(z);
    switch (activation) {
        case GateActivation::sigmoid:
            return s * (1 - s);
        case GateActivation::silu:
            return s * (1 + z * (1 - s));
        case GateActivation::softplus:
            break;
    }
    return s;
}

}  // namespace

/// What enters: given, or of a loss.
template <class T>
void Backward<T>::result() {
    const PlannedGradient& g = *plan_.gradient;
    const double times = changes_ ? changes_->quirks.entering_times : 1;
    const auto add = [&](const std::optional<std::size_t>& tensor, Stage stage) {
        if (!tensor) return;
        const AtFirst to = at_first(stage);
        const std::span<const T> from = forward_.tensors()[*tensor];
        // [batch, query, width] is the context of one head as well.
        in_parts(static_cast<Index>(from.size()), [&](Index begin, Index end) {
            for (std::size_t k = idx(begin); k < idx(end); ++k) {
                T& d = to.grads.values[k];
                const T entering = static_cast<T>(times) * from[k];
                d = (to.adds ? d : T{0}) + entering;
            }
        });
    };
    add(g.output, g.result);
    add(g.context, Stage::context);
    add(g.state, Stage::state);
    if (g.loss == Loss::sum)
        for (T& d : at(g.result).values) d += static_cast<T>(times);
    if (g.loss != Loss::mean_squared_error) return;
    const std::span<const T> target = forward_.tensors()[*g.target];
    Grads<T>& to = at(g.result);
    const auto count = static_cast<double>(to.values.size());
    const View<T> joined = forward_.joined();
    const Index rows = plan_.batch * plan_.queries, width = plan_.context_heads() * plan_.value_dim;
    const T* y = joined.row(0, 0, 0);
    std::vector<T> made;
    if (plan_.has_output) {
        made.resize(idx(rows * plan_.output_dim));
        const LinearMap<T> map(plan_.projection(WeightRole::output), plan_, forward_.tensors());
        Arena arena;
        Linear<T>(map, 0, plan_.output_dim, rows, arena).apply(y, width, rows, made.data(), plan_.output_dim);
        y = made.data();
    }
    for (std::size_t k = 0; k < to.values.size(); ++k)
        to.values[k] +=
            static_cast<T>(times * 2 * (static_cast<double>(y[k]) - static_cast<double>(target[k])) / count);
}

template <class T>
void Backward<T>::output(const PlannedStage& stage) {
    const Grads<T>& dy = at(Stage::output);
    const Index rows = plan_.batch * plan_.queries;
    const AtFirst dx = at_first(stage.reads.front());
    // The joined heads are one row of numbers, and so is a single head's context.
    through_projection(WeightRole::output, forward_.joined().row(0, 0, 0), rows, dy.values.data(),
                       {dx.grads.values.data(), dx.adds});
}

template <class T>
void Backward<T>::normed_concat(const PlannedStage& stage) {
    const Grads<T>& dy = at(Stage::normed_concat);
    const Index width = dy.shape[3];
    const Stage read = stage.reads.front();
    // Of the heads side by side, whatever they have gone through.
    const View<T> x = forward_.is_taken(read) ? forward_.of(read)
                      : plan_.gate            ? forward_.of(Stage::gated_context)
                      : plan_.context_norm    ? forward_.of(Stage::normed_context)
                                              : forward_.of(Stage::context);
    Grads<T>& dx = at(read);
    for (Index r = 0; r < plan_.batch * plan_.queries; ++r)
        through_norm(
            *plan_.concat_norm, {},
            {x.row(0, 0, 0) + r * width, dy.values.data() + r * width, dx.values.data() + r * width, 0, 0, 0},
            1, width);
}

template <class T>
void Backward<T>::concat(const PlannedStage& stage) {
    const Grads<T>& dy = at(Stage::concat);
    const Index width = plan_.value_dim;
    if (changes_ && changes_->quirks.heads_not_transposed) {
        Grads<T>& dx = at(stage.reads.front());
        for (std::size_t k = 0; k < dx.values.size(); ++k) dx.values[k] += dy.values[k];
        return;
    }
    const AtFirst dx = at_first(stage.reads.front());
    const Index heads = plan_.context_heads();
    forward_.pool().run(plan_.batch * heads, [&](Index job, int) {
        const Index b = job / heads, h = job % heads;
        for (Index i = 0; i < plan_.queries; ++i) {
            const T* const from = dy.row(b, 0, i) + h * width;
            T* const to = dx.grads.row(b, h, i);
            if (!dx.adds)
                std::copy_n(from, width, to);
            else
                for (Index k = 0; k < width; ++k) to[k] += from[k];
        }
    });
}

template <class T>
void Backward<T>::gated_context(const PlannedStage& stage) {
    const Grads<T>& dy = at(Stage::gated_context);
    const Stage read = stage.reads.front();
    const View<T> c = forward_.of(read), z = forward_.projections().gate();
    Grads<T>& dx = at(read);
    const Index heads = plan_.context_heads(), width = plan_.value_dim;
    const Index gates = plan_.gate_by_head ? 1 : width;
    std::vector<T> dz(idx(plan_.batch * plan_.queries * heads * gates));
    for (Index b = 0; b < plan_.batch; ++b)
        for (Index h = 0; h < heads; ++h)
            for (Index i = 0; i < plan_.queries; ++i) {
                T* to = dz.data() + ((b * plan_.queries + i) * heads + h) * gates;
                for (Index k = 0; k < width; ++k) {
                    const Index g = plan_.gate_by_head ? 0 : k;
                    const auto own = static_cast<double>(z.row(b, h, i)[g]),
                               d = static_cast<double>(dy.row(b, h, i)[k]);
                    dx.row(b, h, i)[k] += static_cast<T>(d * ops::opening(plan_.gate->activation, own));
                    to[g] += static_cast<T>(d * static_cast<double>(c.row(b, h, i)[k]) *
                                            slope_of_opening(plan_.gate->activation, own));
                }
            }
    if (plan_.gate->from_queries) {
        gate_of_queries_ = std::move(dz);
        return;
    }
    through_projection(WeightRole::gate, input_numbers(*plan_.query_input), plan_.batch * plan_.queries,
                       dz.data(), into_input(*plan_.query_input));
}

template <class T>
void Backward<T>::normed_context(const PlannedStage& stage) {
    const Grads<T>& dy = at(Stage::normed_context);
    const Stage read = stage.reads.front();
    const View<T> x = forward_.of(read);
    Grads<T>& dx = at(read);
    const Index step = plan_.queries * plan_.value_dim;
    for (Index b = 0; b < plan_.batch; ++b)
        for (Index i = 0; i < plan_.queries; ++i)
            through_norm(*plan_.context_norm, {},
                         {x.row(b, 0, i), dy.row(b, 0, i), dx.row(b, 0, i), x.head, step, step},
                         plan_.context_heads(), plan_.value_dim);
}

template void Backward<float>::result();
template void Backward<float>::output(const PlannedStage& stage);
template void Backward<float>::normed_concat(const PlannedStage& stage);
template void Backward<float>::concat(const PlannedStage& stage);
template void Backward<float>::gated_context(const PlannedStage& stage);
template void Backward<float>::normed_context(const PlannedStage& stage);
template void Backward<double>::result();
template void Backward<double>::output(const PlannedStage& stage);
template void Backward<double>::normed_concat(const PlannedStage& stage);
template void Backward<double>::concat(const PlannedStage& stage);
template void Backward<double>::gated_context(const PlannedStage& stage);
template void Backward<double>::normed_context(const PlannedStage& stage);

}  // namespace attn::gradient
