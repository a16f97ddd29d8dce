#include "lib/replay/replay.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/kernels/kernels.hpp"
#include "lib/replay/replay_work.hpp"
#include "lib/run/ops.hpp"
#include "lib/run/recurrence.hpp"
#include "lib/run/sources.hpp"

namespace attn {
namespace {

/// The numbers that a run in float32 reads: those of a file are rounded on the way.
void round_to_singles(Plan& plan) {
    for (TensorSource& t : plan.tensors) {
        const Element e = t.numbers.element();
        if (t.numbers.empty() || e == Element::float32 || size_of(e) < size_of(Element::float32)) continue;
        std::vector<float> singles(static_cast<std::size_t>(t.numbers.size()));
        t.numbers.copy(std::span<float>(singles));
        t.numbers = Numbers(std::move(singles));
    }
}

/// The plan in double, by one worker, without what only is shown.
Plan plain(Plan plan) {
    if (plan.dtype == DType::float32) round_to_singles(plan);
    plan.dtype = DType::float64;
    static_cast<Schedule&>(plan) = whole(plan);
    plan.query_tokens.clear();
    plan.key_tokens.clear();
    return plan;
}

/// The plan with one rule of its mask and no other.
Plan alone(Plan plan, const MaskPart& part) {
    using Kind = MaskPart::Kind;
    if (part.kind != Kind::causal) plan.causal = false;
    if (part.kind != Kind::window) plan.window.reset();
    if (part.kind != Kind::key_lengths) plan.key_lengths.reset();
    std::vector<MaskRule> kept;
    if (part.kind == Kind::rule && part.rule < plan.masks.size()) kept.push_back(plan.masks[part.rule]);
    plan.masks = std::move(kept);
    return plan;
}

}  // namespace

void drop(Plan& plan, const MaskPart& part) {
    using Kind = MaskPart::Kind;
    if (part.kind == Kind::all || part.kind == Kind::causal) plan.causal = false;
    if (part.kind == Kind::all || part.kind == Kind::window) plan.window.reset();
    if (part.kind == Kind::all || part.kind == Kind::key_lengths) plan.key_lengths.reset();
    if (part.kind == Kind::all) plan.masks.clear();
    if (part.kind == Kind::rule && part.rule < plan.masks.size())
        plan.masks.erase(plan.masks.begin() + static_cast<std::ptrdiff_t>(part.rule));
    if (!plan.causal && !plan.window && !plan.key_lengths && plan.masks.empty()) plan.masked = false;
}

double rounded(double x, Rounding r) {
    if (r == Rounding::none || !std::isfinite(x) || x == 0) return x;
    int exponent = 0;
    std::frexp(x, &exponent);
    // Significands of 8 and 11 bits; a binary16 has no exponent below -14.
    const int digits = r == Rounding::bf16 ? 8 : 11, least = r == Rounding::bf16 ? -125 : -13;
    const int unit = std::max(exponent, least) - digits;
    const double out = std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
    return r == Rounding::f16 && std::abs(out) >= 65520 ? std::copysign(INFINITY, x) : out;
}

Replay::Replay(const Plan& plan) : plan_(plain(plan)), pool_(1), tensors_(plan_, pool_) {}

std::array<Index, 4> Replay::shape_of(const PlannedStage& stage) const {
    const Shape& s = stage.shape;
    switch (stage.family) {
        case StageShape::merged:
        case StageShape::merged_cells:
        case StageShape::merged_keys:
            return {s[0], 1, s[1], s[2]};
        case StageShape::per_query:
            return {s[0], s[1], s[2], 1};
        case StageShape::per_key:
            if (s.size() == 3) return {s[0], s[1], s[2], 1};
            break;
        case StageShape::states:
            return {s[0], s[1], s[2] * s[3], s[4]};
        case StageShape::query_dim:
        case StageShape::key_dim:
        case StageShape::all_key_dim:
        case StageShape::shared_keys:
        case StageShape::query_key:
        case StageShape::state:
            break;
    }
    return {s[0], s[1], s[2], s[3]};
}

std::vector<Index> Replay::rows_of(const Deviation& d, const Slice& slice) const {
    const Index n = d.plan.queries;
    if (slice.rows.empty() || d.plan.state) return counted(n);
    if (d.quirks.weights_transposed || d.quirks.along == Along::queries) return counted(n);
    if (d.quirks.merge != HeadLayout::flat) return slice.rows;
    std::vector<Index> rows = slice.rows;  // the mean over heads is of these
    // A merged row holds the contexts heads * r ... of [head, query].
    for (const Index r : slice.rows)
        for (Index k = 0; k < d.plan.heads; ++k) rows.push_back((r * d.plan.heads + k) % n);
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    return rows;
}

HeldStages Replay::before(const HeldStages& held, Stage first) const {
    HeldStages out;
    // Where a plan masks before it scales, its order is not that of all stages: stopping early is safe, more
    // is computed than need be.
    for (const PlannedStage& s : plan_.stages) {
        if (!stands_before(s.stage, first)) break;
        out[s.stage] = held[s.stage];
    }
    out.rows = held.rows;
    out.merged_rows = held.merged_rows;
    return out;
}

HeldStages Replay::run(const Deviation& deviation, const HeldStages& given, const Slice& slice,
                       std::uint64_t kept) const {
    Work w(deviation, plan_, given, tensors_);
    w.made.rows = rows_of(deviation, slice);
    w.made.merged_rows = slice.rows.empty() || w.plan.state ? counted(w.plan.queries) : slice.rows;
    // Rows that were taken for another slice, or another need, are of no use.
    for (const PlannedStage& s : plan_.stages) {
        const Phase phase = info_of(s.stage).phase;
        if (phase == Phase::source || phase == Phase::state) continue;
        if (phase == Phase::merged ? given.merged_rows != w.made.merged_rows : given.rows != w.made.rows)
            w.given[s.stage] = nullptr;
    }
    project(w);
    prepare(w);
    if (w.plan.state) {
        recur(w);
    } else {
        attend(w, kept);
    }
    finish(w);
    return std::move(w.made);
}

void Replay::recur(Work& w) const {
    const Plan& plan = w.plan;
    Arena arena;
    Findings findings(plan);
    const Operands<double> operands{
        plan, w.mask, w.biases, w.q->view(), true, w.k->view(), w.v->view(), counted(plan.heads), {}};
    const auto view = [&](Stage s) { return w[s] ? w[s]->view() : View<double>{}; };
    const std::span<const double> past =
        plan.state->past ? tensors_[*plan.state->past] : std::span<const double>{};
    Recurrence<double> recurrence(operands, view(Stage::decay), view(Stage::beta), past, arena, pool_);
    const std::array<Index, 4> state_shape{plan.batch, plan.kv_heads, plan.dim, plan.value_dim};
    w.take(Stage::context, [&] {
        auto out = std::make_shared<Numbers4>(
            std::array<Index, 4>{plan.batch, plan.heads, plan.queries, plan.value_dim});
        Contexts<double> contexts(plan, findings, false);
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < plan.heads; ++h) contexts.set_place(b, h, out->row(b, h, 0));
        recurrence.run(&contexts, true);
        auto state = std::make_shared<Numbers4>(state_shape);
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < plan.kv_heads; ++h)
                std::copy_n(recurrence.state(b, h), plan.dim * plan.value_dim, state->row(b, h, 0));
        w[Stage::state] = state;
        return Held(out);
    });
    if (w.given[Stage::state]) w[Stage::state] = w.given[Stage::state];
}

/// What the mask hides, for the rows that are computed.
void Replay::hide(Work& w) const {
    const Plan& plan = w.plan;
    if (!plan.masked) return;
    const auto rows = static_cast<Index>(w.made.rows.size());
    const Index given = plan.given_keys();
    w.hidden.resize(static_cast<std::size_t>(plan.batch * plan.heads * rows * plan.keys));
    const auto each_head = [&](auto&& f) {
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < plan.heads; ++h)
                f(b, h, w.hidden.data() + (b * plan.heads + h) * rows * plan.keys);
    };
    std::vector<std::uint8_t> line(static_cast<std::size_t>(plan.keys));
    const auto add = [&](const Mask<double>& mask) {
        each_head([&](Index b, Index h, std::uint8_t* to) {
            for (Index i = 0; i < rows; ++i) {
                mask.hide(b, h, w.made.rows[idx(i)], line.data());
                for (Index j = 0; j < plan.keys; ++j) to[i * plan.keys + j] |= line[idx(j)];
            }
        });
    };
    const auto add_transposed = [&](const Mask<double>& mask) {
        each_head([&](Index b, Index h, std::uint8_t* to) {
            for (Index j = 0; j < given; ++j) {
                mask.hide(b, h, j, line.data());
                for (Index i = 0; i < rows; ++i) to[i * plan.keys + j] |= line[idx(w.made.rows[idx(i)])];
            }
        });
    };
    if (!w.quirks.mask_transposed) {
        add(w.mask);
    } else if (w.quirks.mask_transposed->kind == MaskPart::Kind::all) {
        add_transposed(w.mask);
    } else {
        Plan rest = plan;
        drop(rest, *w.quirks.mask_transposed);
        const Plan part = alone(plan, *w.quirks.mask_transposed);
        add(Mask<double>(rest, tensors_));
        add_transposed(Mask<double>(part, tensors_));
    }
    if (!w.quirks.mask_inverted) return;
    each_head([&](Index /*b*/, Index /*h*/, std::uint8_t* to) {
        for (Index i = 0; i < rows; ++i)
            for (Index j = 0; j < given; ++j) to[i * plan.keys + j] ^= 1;
    });
}

void Replay::scores(Work& w, Numbers4& cells) const {
    const Plan& plan = w.plan;
    const auto& kernel = kernels::table<double>();
    const std::vector<Index>& rows = w.made.rows;
    const std::span<const double> v = plan.additive ? tensors_[*plan.additive] : std::span<const double>{};
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < plan.heads; ++h) {
            const Index kv = plan.kv_head_of(h);
            const double* own =
                v.data() + (static_cast<Index>(v.size()) > plan.dim ? h * plan.dim : Index{0});
            for_ranges(rows, [&](Index from, Index to) {
                const double* q = w.q->row(b, h, rows[idx(from)]);
                double* out = cells.row(b, h, from);
                if (v.empty()) {
                    kernel.dot_rows(q, w.q->shape[3], w.k->row(b, kv, 0), w.k->shape[3], out, plan.keys,
                                    to - from, plan.keys, plan.dim);
                    return;
                }
                for (Index i = 0; i < to - from; ++i)
                    for (Index j = 0; j < plan.keys; ++j)
                        out[i * plan.keys + j] =
                            kernel.dot_tanh(q + i * w.q->shape[3], w.k->row(b, kv, j), own, plan.dim);
            });
        }
}

void Replay::context(Work& w, const Numbers4& weights) const {
    const Plan& plan = w.plan;
    const auto& kernel = kernels::table<double>();
    const auto rows = static_cast<Index>(w.made.rows.size());
    auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, plan.heads, rows, plan.value_dim});
    std::vector<double> turned(w.quirks.weights_transposed ? static_cast<std::size_t>(rows * plan.keys) : 0);
    for (Index b = 0; b < plan.batch; ++b)
        for (Index h = 0; h < plan.heads; ++h) {
            const double* from = weights.row(b, h, 0);
            for (Index i = 0; i < rows && !turned.empty(); ++i)
                for (Index j = 0; j < plan.keys; ++j) turned[idx(j * rows + i)] = from[i * plan.keys + j];
            kernel.multiply(turned.empty() ? from : turned.data(), plan.keys,
                            w.v->row(b, plan.kv_head_of(h), 0), w.v->shape[3], out->row(b, h, 0),
                            plan.value_dim, rows, plan.value_dim, plan.keys);
        }
    w[Stage::context] = w.quirks.round_all ? w.rounded_copy(*out) : Held(out);
}

/// The gate, heads side by side, the output projection.
void Replay::finish(Work& w) const {
    const Plan& plan = w.plan;
    Held context = w[Stage::context];
    const auto rows = static_cast<Index>(w.made.rows.size());
    if (plan.gate) {
        const std::span<const double> weight =
            plan.context_norm ? tensors_[*plan.context_norm] : std::span<const double>{};
        auto normed = std::make_shared<Numbers4>(*context), gated = std::make_shared<Numbers4>(*context);
        if (plan.gate->norm)
            w.take(Stage::normed_context, [&] {
                for (Index r = 0; r < plan.batch * plan.heads * rows; ++r)
                    rms_norm(context->values.data() + r * plan.value_dim,
                             normed->values.data() + r * plan.value_dim, plan.value_dim, plan.context_eps,
                             weight);
                return Held(normed);
            });
        const Held in = plan.gate->norm ? w[Stage::normed_context] : context;
        w.take(Stage::gated_context, [&] {
            for (Index b = 0; b < plan.batch; ++b)
                for (Index h = 0; h < plan.heads; ++h)
                    for (Index i = 0; i < rows; ++i)
                        for (Index j = 0; j < plan.value_dim; ++j) {
                            const double g = w.gate->row(b, h, w.made.rows[idx(i)])[j];
                            gated->row(b, h, i)[j] = in->row(b, h, i)[j] * ops::opening(*plan.gate, g);
                        }
            return Held(gated);
        });
        context = w[Stage::gated_context];
    }
    if (!plan.find(Stage::concat) && !plan.find(Stage::output)) return;
    const Index width = plan.heads * plan.value_dim, dim = plan.value_dim, n = plan.queries;
    const auto merged = static_cast<Index>(w.made.merged_rows.size());
    const auto place_of = [&](Index row) {
        return std::lower_bound(w.made.rows.begin(), w.made.rows.end(), row) - w.made.rows.begin();
    };
    w.take(Stage::concat, [&] {
        auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, 1, merged, width});
        for (Index b = 0; b < plan.batch; ++b)
            for (Index i = 0; i < merged; ++i) {
                const Index row = w.made.merged_rows[idx(i)];
                for (Index h = 0; h < plan.heads; ++h) {
                    const Index flat = row * plan.heads + h;
                    const bool is_flat = w.quirks.merge == HeadLayout::flat;
                    const double* from =
                        context->row(b, is_flat ? flat / n : h, place_of(is_flat ? flat % n : row));
                    double* to = out->row(b, 0, i);
                    for (Index k = 0; k < dim; ++k)
                        to[w.quirks.merge == HeadLayout::interleaved ? k * plan.heads + h : h * dim + k] =
                            from[k];
                }
            }
        return Held(out);
    });
    if (!plan.find(Stage::output)) return;
    const Held concat = w[Stage::concat];
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
            std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, plan.heads, merged, plan.output_dim});
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < plan.heads; ++h)
                kernels::table<double>().multiply(concat->row(b, 0, 0) + h * dim, width,
                                                  map->row(0, 0, h * dim), plan.output_dim, out->row(b, h, 0),
                                                  plan.output_dim, merged, plan.output_dim, dim);
        return Held(out);
    });
}

}  // namespace attn
