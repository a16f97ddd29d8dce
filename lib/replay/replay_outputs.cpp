// Contexts that are brought together, and batch items that are taken for tokens.
#include <algorithm>

#include "lib/kernels/kernels.hpp"
#include "lib/replay/replay_work.hpp"
#include "lib/run/linear.hpp"
#include "lib/run/ops.hpp"
#include "lib/run/sources.hpp"

namespace attn {

/// Tokens attend to batch items: a plan of its own, whose contexts go back to where they belong.
void Replay::attend_across_items(Work& w, std::uint64_t kept) const {
    const Plan& plan = w.plan;
    if (w.given[Stage::context]) {
        w[Stage::context] = w.given[Stage::context];
        return;
    }
    const bool reshaped = w.quirks.batch_axes == BatchAxes::reshaped;
    Deviation inside{plan, w.quirks};
    inside.quirks.batch_axes = BatchAxes::planned;
    if (!reshaped) {
        inside.plan.batch = plan.queries;
        inside.plan.queries = inside.plan.keys = inside.plan.new_keys = plan.batch;
        inside.plan.offsets.assign(static_cast<std::size_t>(plan.queries), 0);
    }
    Work part(inside, plan_, {}, tensors_);
    part.made.rows = part.made.merged_rows = counted(inside.plan.queries);
    // Calls f(item, token, their item, their token) for all of theirs.
    const auto each = [&](Index tokens, auto&& f) {
        const Index their_items = reshaped ? plan.batch : tokens,
                    their_tokens = reshaped ? tokens : plan.batch;
        for (Index b = 0; b < their_items; ++b)
            for (Index t = 0; t < their_tokens; ++t) {
                const Index flat = t * plan.batch + b;
                if (reshaped)
                    f(flat / tokens, flat % tokens, b, t);
                else
                    f(t, b, b, t);
            }
    };
    const auto read = [&](const Held& x) {
        const Index heads = x->shape[1], tokens = x->shape[2], dim = x->shape[3];
        auto out =
            std::make_shared<Numbers4>(reshaped ? std::array<Index, 4>{plan.batch, heads, tokens, dim}
                                                : std::array<Index, 4>{tokens, heads, plan.batch, dim});
        each(tokens, [&](Index item, Index token, Index b, Index t) {
            for (Index h = 0; h < heads; ++h) std::copy_n(x->row(item, h, token), dim, out->row(b, h, t));
        });
        return out;
    };
    part.q = read(w.q), part.k = read(w.k), part.v = read(w.v);
    std::uint64_t cells = 0;
    for (const PlannedStage& s : plan.stages)
        if (is_cells(s) && reshaped) cells |= kept & (std::uint64_t{1} << static_cast<unsigned>(s.stage));
    attend(part, cells);
    for (const PlannedStage& s : plan.stages)
        if (is_cells(s)) w[s.stage] = part[s.stage];
    const Held made = part[Stage::context];
    auto out = std::make_shared<Numbers4>(
        std::array<Index, 4>{plan.batch, plan.context_heads(), plan.queries, plan.value_dim});
    each(plan.queries, [&](Index item, Index token, Index b, Index t) {
        for (Index h = 0; h < plan.context_heads(); ++h)
            std::copy_n(made->row(b, h, t), plan.value_dim, out->row(item, h, token));
    });
    w[Stage::context] = out;
}

/// The gate, heads side by side, the output projection.
void Replay::finish(Work& w) const {
    const Plan& plan = w.plan;
    Held context = w[Stage::context];
    const auto rows = static_cast<Index>(w.made.rows.size());
    const Index heads = plan.context_heads();
    if (plan.context_norm) {
        w.take(Stage::normed_context, [&] {
            if (w.quirks.no_context_norm) return context;
            auto normed = std::make_shared<Numbers4>(*context);
            const Norming<double> norming(*plan.context_norm, plan, tensors_);
            const Index step = rows * plan.value_dim;
            for (Index b = 0; b < plan.batch; ++b)
                for (Index i = 0; i < rows; ++i)
                    norming(context->row(b, 0, i), step, normed->row(b, 0, i), step, heads, plan.value_dim);
            return Held(normed);
        });
        context = w[Stage::normed_context];
    }
    if (plan.gate) {
        w.take(Stage::gated_context, [&] {
            if (w.quirks.no_gate) return context;
            auto gated = std::make_shared<Numbers4>(*context);
            for (Index b = 0; b < plan.batch; ++b)
                for (Index h = 0; h < heads; ++h)
                    for (Index i = 0; i < rows; ++i)
                        for (Index j = 0; j < plan.value_dim; ++j) {
                            const double g =
                                w.gate->row(b, h, w.made.rows[idx(i)])[plan.gate_by_head ? 0 : j];
                            gated->row(b, h, i)[j] *= plan.rounding(ops::opening(plan.gate->activation, g));
                        }
            return Held(gated);
        });
        context = w[Stage::gated_context];
    }
    if (!plan.find(Stage::concat) && !plan.find(Stage::output) && !plan.concat_norm) return;
    const Index width = heads * plan.value_dim, dim = plan.value_dim, n = plan.queries;
    const auto merged = static_cast<Index>(w.made.merged_rows.size());
    const auto place_of = [&](Index row) {
        return std::lower_bound(w.made.rows.begin(), w.made.rows.end(), row) - w.made.rows.begin();
    };
    if (w.quirks.heads_averaged != 0) {
        auto sum = std::make_shared<Numbers4>(context->shape);
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < heads; ++h)
                for (Index of = 0; of < heads; ++of)
                    for (Index k = 0; k < rows * dim; ++k)
                        sum->row(b, h, 0)[k] += w.quirks.heads_averaged * context->row(b, of, 0)[k];
        context = sum;
    }
    // The place [batch, head] of the context that a place of concat gets.
    const auto context_at = [&](Index b, Index h) {
        const std::vector<Index>& of = w.quirks.contexts_of;
        const auto places = static_cast<Index>(of.size());
        if (places == heads) return b * heads + of[idx(h)];
        // Another mistake may have changed the number of heads: then there is no such order.
        return places == plan.batch * heads ? of[idx(b * heads + h)] : b * heads + h;
    };
    w.take(Stage::concat, [&] {
        auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, 1, merged, width});
        for (Index b = 0; b < plan.batch; ++b)
            for (Index i = 0; i < merged; ++i) {
                const Index row = w.made.merged_rows[idx(i)];
                for (Index h = 0; h < heads; ++h) {
                    const Index flat = row * heads + h;
                    const bool is_flat = w.quirks.merge == HeadLayout::flat;
                    const Index place = context_at(b, is_flat ? flat / n : h);
                    const double* from =
                        context->row(place / heads, place % heads, place_of(is_flat ? flat % n : row));
                    double* to = out->row(b, 0, i);
                    for (Index k = 0; k < dim; ++k)
                        to[w.quirks.merge == HeadLayout::interleaved ? k * heads + h : h * dim + k] = from[k];
                }
            }
        return Held(out);
    });
    if (plan.concat_norm)
        w.take(Stage::normed_concat, [&] {
            auto out = std::make_shared<Numbers4>(*w[Stage::concat]);
            const Norming<double> norming(*plan.concat_norm, plan, tensors_);
            for (Index r = 0; r < plan.batch * merged; ++r)
                norming(w[Stage::concat]->values.data() + r * width, 0, out->values.data() + r * width, 0, 1,
                        width);
            return Held(out);
        });
    if (!plan.find(Stage::output)) return;
    const Held concat = w[plan.concat_norm ? Stage::normed_concat : Stage::concat];
    if (!plan.projects(WeightRole::output)) {
        w.take(Stage::output, [&] { return Held(concat); });
        return;
    }
    w.take(Stage::output, [&] {
        Held& map = output_maps_[has(w.quirks.transposed, WeightRole::output) ? 1 : 0];
        if (!map) {
            const std::vector<double> whole =
                LinearMap<double>(plan.projection(WeightRole::output), plan, tensors_)
                    .copied(0, plan.output_dim);
            auto kept = std::make_shared<Numbers4>(std::array<Index, 4>{1, 1, width, plan.output_dim});
            for (Index i = 0; i < width; ++i)
                for (Index j = 0; j < plan.output_dim; ++j)
                    kept->row(0, 0, i)[j] = has(w.quirks.transposed, WeightRole::output)
                                                ? whole[idx(j * plan.output_dim + i)]
                                                : whole[idx(i * plan.output_dim + j)];
            map = kept;
        }
        auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, 1, merged, plan.output_dim});
        kernels::table<double>().multiply(concat->values.data(), width, map->values.data(), plan.output_dim,
                                          out->values.data(), plan.output_dim, plan.batch * merged,
                                          plan.output_dim, width);
        for (const WeightPiece& p : plan.projection(WeightRole::output).bias)
            for (Index i = 0; i < plan.batch * merged; ++i)
                for (Index o = 0; o < p.outputs; ++o)
                    out->values[idx(i * plan.output_dim + p.target_begin + o)] +=
                        tensors_[p.tensor][idx(p.source_begin + o)];
        return Held(out);
    });
    const PlannedStage* shares = plan.find(Stage::head_outputs);
    if (!shares || static_cast<Index>(w.made.rows.size()) != merged) return;
    const Held map = output_maps_[has(w.quirks.transposed, WeightRole::output) ? 1 : 0];
    w.take(Stage::head_outputs, [&] {
        auto out =
            std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, heads, merged, plan.output_dim});
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < heads; ++h)
                kernels::table<double>().multiply(concat->row(b, 0, 0) + h * dim, width,
                                                  map->row(0, 0, h * dim), plan.output_dim, out->row(b, h, 0),
                                                  plan.output_dim, merged, plan.output_dim, dim);
        return Held(out);
    });
}

}  // namespace attn
