#include <algorithm>
#include <cmath>

#include "lib/kernels/kernels.hpp"
#include "lib/replay/replay_work.hpp"
#include "lib/run/linear.hpp"
#include "lib/run/ops.hpp"
#include "lib/run/sources.hpp"

namespace attn {
namespace {

/// Weights that are read the other way: each square piece of them.
Projection transposed(Projection projection, const Plan& plan) {
    for (WeightPiece& p : projection.weight) {
        if (p.outputs != projection.d_in) continue;
        p.base += p.source_begin * (p.out_in ? plan.tensors[p.tensor].shape.back() : 1);
        p.source_begin = 0;
        p.out_in = !p.out_in;
    }
    return projection;
}

void append(std::vector<Index>& key, const std::vector<WeightPiece>& list) {
    key.push_back(static_cast<Index>(list.size()));
    for (const WeightPiece& p : list)
        key.insert(key.end(), {static_cast<Index>(p.tensor), p.source_begin, p.base, p.out_in ? 1 : 0});
}

}  // namespace

std::vector<double> Replay::weight(WeightRole role) const {
    const Projection& p = plan().projection(role);
    return LinearMap<double>(p, plan(), tensors_).copied(0, p.d_out);
}

std::vector<double> Replay::bias(WeightRole role) const {
    const Projection& p = plan().projection(role);
    std::vector<double> out(static_cast<std::size_t>(p.d_out));
    for (const WeightPiece& b : p.bias)
        for (Index o = 0; o < b.outputs; ++o)
            out[idx(b.target_begin + o)] = tensors_[b.tensor][idx(b.source_begin + o)];
    return out;
}

/// x [batch, token, width] · W + b as [batch, 1, token, d_out].
Held Replay::projected(const Work& w, WeightRole role, const double* x, Index tokens, Index width) const {
    const Projection& p = w.plan.projection(role);
    const Projection as_read = has(w.quirks.transposed, role) ? transposed(p, w.plan) : p;
    const LinearMap<double> map(as_read, w.plan, tensors_);
    Numbers4 out({w.plan.batch, 1, tokens, p.d_out});
    Arena arena;
    const Linear<double> linear(map, 0, p.d_out, w.plan.batch * tokens, arena);
    linear.apply(x, width, w.plan.batch * tokens, out.values.data(), p.d_out);
    return std::make_shared<Numbers4>(std::move(out));
}

const double* Replay::input_of(const Work& w, std::size_t tensor) const {
    const std::optional<Stage> normed = w.plan.normed_input(tensor);
    return normed ? w.made[*normed]->values.data() : tensors_[tensor].data();
}

void Replay::norm_embeddings(Work& w) const {
    const Plan& plan = w.plan;
    if (!plan.embeddings_norm) return;
    const auto make = [&](Stage stage, std::size_t tensor) {
        w.take(stage, [&] {
            Held own;
            Held& held = plan.rounding == plan_.rounding ? normed_inputs_[{stage, plan.batch}] : own;
            if (held) return held;
            const Shape& shape = plan.tensors[tensor].shape;
            const Index tokens = shape[shape.size() - 2], width = shape.back();
            Arena arena;
            const View<double> x{tensors_[tensor].data(), tokens * width, 0, width};
            const View<double> y = Sources<double>(plan, tensors_, arena).normed(x, 1, tokens, width, stage);
            auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, 1, tokens, width});
            std::copy_n(y.data, out->values.size(), out->values.begin());
            held = out;
            return held;
        });
    };
    make(Stage::normed_embeddings, *plan.query_input);
    if (plan.norms_key_embeddings) make(Stage::normed_key_embeddings, *plan.key_input);
}

/// The same of an input that no deviation changes: kept.
Held Replay::projected(const Work& w, WeightRole role, std::size_t input) const {
    const Projection& p = w.plan.projection(role);
    const Shape& shape = w.plan.tensors[input].shape;
    const Index tokens = shape[shape.size() - 2], width = shape.back();
    const std::optional<Stage> normed = w.plan.normed_input(input);
    if (normed && w.made[*normed] != normed_inputs_[{*normed, w.plan.batch}])
        return projected(w, role, input_of(w, input), tokens, width);
    std::vector<Index> key{static_cast<Index>(input), static_cast<Index>(role),
                           has(w.quirks.transposed, role) ? 1 : 0, w.plan.batch,
                           w.plan.rounding == plan_.rounding ? 0 : 1};
    append(key, p.weight);
    append(key, p.bias);
    Held& held = of_inputs_[key];
    if (!held) held = projected(w, role, input_of(w, input), tokens, width);
    return held;
}

/// Heads of [batch, 1, token, heads * dim].
Held Replay::heads_of(const Work& w, WeightRole role, const Held& flat, Index heads, Index dim) const {
    const Index tokens = flat->shape[2], width = flat->shape[3];
    const HeadLayout split = has(w.quirks.split_of, role) ? w.quirks.split : HeadLayout::split;
    auto out = std::make_shared<Numbers4>(std::array<Index, 4>{flat->shape[0], heads, tokens, dim});
    for (Index b = 0; b < flat->shape[0]; ++b) {
        const double* from = flat->row(b, 0, 0);
        if (split == HeadLayout::flat && width == heads * dim) {
            std::copy_n(from, tokens * width, out->row(b, 0, 0));
            continue;
        }
        for (Index h = 0; h < heads; ++h)
            for (Index t = 0; t < tokens; ++t)
                for (Index k = 0; k < dim; ++k)
                    out->row(b, h, t)[k] =
                        from[t * width + (split == HeadLayout::interleaved ? k * heads + h : h * dim + k)];
    }
    return out;
}

/// An input as it is: with its head axis where it has one, else cut into heads.
Held Replay::given_input(const Work& w, WeightRole role, std::size_t tensor, Index heads, Index dim) const {
    const Shape& shape = w.plan.tensors[tensor].shape;
    const Index tokens = shape[shape.size() - 2];
    auto out = std::make_shared<Numbers4>(w.plan.projected_given
                                              ? std::array<Index, 4>{w.plan.batch, heads, tokens, dim}
                                              : std::array<Index, 4>{w.plan.batch, 1, tokens, shape.back()});
    std::copy_n(input_of(w, tensor), out->values.size(), out->values.begin());
    return w.plan.projected_given ? out : heads_of(w, role, out, heads, dim);
}

/// [batch, 1, token, width], each row normed.
void Replay::norm_latent(Work& w, Stage of, Stage stage) const {
    w.take(stage, [&] {
        const Held x = w[of];
        Arena arena;
        const View<double> y =
            Sources<double>(w.plan, tensors_, arena).normed(x->view(), 1, x->shape[2], x->shape[3], stage);
        auto out = std::make_shared<Numbers4>(x->shape);
        std::copy_n(y.data, out->values.size(), out->values.begin());
        return Held(out);
    });
}

void Replay::project_latent(Work& w) const {
    const Plan& plan = w.plan;
    w.take(Stage::latent, [&] { return projected(w, WeightRole::latent, *plan.key_input); });
    if (plan.latent_norm) norm_latent(w, Stage::latent, Stage::normed_latent);
    const Held latent = w[plan.latent_norm ? Stage::normed_latent : Stage::latent];
    const auto make = [&](WeightRole role, Index dim, Stage stage, Held& past) {
        w.take(stage, [&] {
            return heads_of(w, role,
                            projected(w, role, latent->values.data(), plan.new_keys, latent->shape[3]),
                            plan.kv_heads, dim);
        });
        if (plan.past_latent)
            past = heads_of(w, role, projected(w, role, *plan.past_latent), plan.kv_heads, dim);
    };
    make(WeightRole::key, plan.key_dim, Stage::keys, w.past_keys);
    make(WeightRole::value, plan.value_dim, Stage::values, w.past_values);
}

/// Queries, keys, values, the gate and the cache.
void Replay::project(Work& w) const {
    const Plan& plan = w.plan;
    norm_embeddings(w);
    const bool from_queries = plan.gate && plan.gate->from_queries;
    const auto clamped = [&](Stage stage, const Held& x) {
        if (const std::optional<double> limit = plan.limit_of(stage)) {
            auto out = std::make_shared<Numbers4>(*x);
            for (double& v : out->values) v = std::clamp(v, -*limit, *limit);
            return Held(out);
        }
        return x;
    };
    const auto side = [&](WeightRole role, std::size_t input, Index heads, Index dim) -> Held {
        if (!plan.projects(role)) return given_input(w, role, input, heads, dim);
        if (role == WeightRole::query && plan.projects(WeightRole::query_latent)) {
            w.take(Stage::query_latent, [&] { return projected(w, WeightRole::query_latent, input); });
            if (plan.query_latent_norm) norm_latent(w, Stage::query_latent, Stage::normed_query_latent);
            const Held narrow = w[plan.query_latent_norm ? Stage::normed_query_latent : Stage::query_latent];
            return heads_of(w, role,
                            projected(w, role, narrow->values.data(), plan.queries, narrow->shape[3]), heads,
                            dim);
        }
        return heads_of(w, role, projected(w, role, input), heads, dim);
    };
    // Column k of a head's queries or gate, as the column of [head * 2 dim] that holds it.
    const auto column = [&](bool gate, Index h, Index k) {
        const Index dim = plan.query_dim;
        switch (w.quirks.gate_layout) {
            case GateLayout::planned:
                break;
            case GateLayout::halves:
                return (gate ? plan.query_heads() * dim : 0) + h * dim + k;
            case GateLayout::halves_gate_first:
                return (gate ? 0 : plan.query_heads() * dim) + h * dim + k;
            case GateLayout::gate_first:
                return (2 * h + (gate ? 0 : 1)) * dim + k;
            case GateLayout::alternating:
                return 2 * (h * dim + k) + (gate ? 1 : 0);
        }
        return (2 * h + (gate ? 1 : 0)) * dim + k;
    };
    const auto cut = [&](const Held& wide, bool gate) {
        const Index dim = plan.query_dim;
        auto out = std::make_shared<Numbers4>(
            std::array<Index, 4>{wide->shape[0], wide->shape[1], wide->shape[2], dim});
        for (Index b = 0; b < wide->shape[0]; ++b)
            for (Index h = 0; h < wide->shape[1]; ++h)
                for (Index t = 0; t < wide->shape[2]; ++t)
                    for (Index k = 0; k < dim; ++k) {
                        const Index c = column(gate, h, k);
                        out->row(b, h, t)[k] = wide->row(b, c / (2 * dim), t)[c % (2 * dim)];
                    }
        return Held(out);
    };
    if (from_queries) {
        const Held both = side(WeightRole::query, *plan.query_input, plan.query_heads(), 2 * plan.query_dim);
        w.take(Stage::queries, [&] { return clamped(Stage::queries, cut(both, false)); });
        w.gate = cut(both, true);
    } else {
        w.take(Stage::queries, [&] {
            return clamped(Stage::queries,
                           side(WeightRole::query, *plan.query_input, plan.query_heads(), plan.query_dim));
        });
        if (plan.gate)
            w.gate = side(WeightRole::gate, *plan.query_input, plan.context_heads(),
                          plan.gate_by_head ? 1 : plan.value_dim);
    }
    if (plan.variant->is_latent()) {
        project_latent(w);
    } else {
        w.take(Stage::keys, [&] {
            return clamped(Stage::keys,
                           side(WeightRole::key, *plan.key_input, plan.key_heads(), plan.key_dim));
        });
        w.take(Stage::values, [&] {
            return clamped(Stage::values,
                           side(WeightRole::value, *plan.value_input, plan.value_heads(), plan.value_dim));
        });
        const auto cached = [&](const std::optional<std::size_t>& t, Index heads, Index dim) -> Held {
            if (!t) return nullptr;
            auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, heads, plan.past, dim});
            std::copy_n(tensors_[*t].begin(), out->values.size(), out->values.begin());
            return out;
        };
        w.past_keys = cached(plan.past_keys, plan.kv_heads, plan.key_dim);
        w.past_values = cached(plan.past_values, plan.value_heads(), plan.value_dim);
    }
    if (!w.quirks.key_columns.empty() && !w.given[Stage::keys]) permute_keys(w);
    if (w.quirks.swap_queries_keys && !w.given[Stage::queries] && !w.given[Stage::keys])
        std::swap(w[Stage::queries], w[Stage::keys]);
    if (w.quirks.swap_keys_values && !w.given[Stage::keys] && !w.given[Stage::values])
        std::swap(w[Stage::keys], w[Stage::values]);
    if (w.given[Stage::values]) return;
    if (w.quirks.values_are == ValuesAre::keys) w[Stage::values] = w[Stage::keys];
    if (w.quirks.values_are == ValuesAre::embeddings)
        w[Stage::values] =
            given_input(w, WeightRole::value, *plan.value_input, plan.value_heads(), plan.value_dim);
}

/// What becomes of queries, keys and values before the scores.
void Replay::prepare(Work& w) const {
    const Plan& plan = w.plan;
    Arena arena;
    const Sources<double> sources(plan, tensors_, arena);
    const auto hold = [](const View<double>& v, const std::array<Index, 4>& shape) -> Held {
        auto out = std::make_shared<Numbers4>(shape);
        std::copy_n(v.data, out->values.size(), out->values.begin());
        return out;
    };
    const auto like = [&](const Held& x) { return x->shape; };
    Held q = w[Stage::queries], k = w[Stage::keys], v = w[Stage::values];
    if (plan.conv) {
        const auto convolve = [&](Stage to, Held& x, Index heads, Index tokens, Index dim) {
            w.take(to, [&] {
                return hold(sources.convolved(x->view(), heads, tokens, dim, plan.conv->of(to)), like(x));
            });
            x = w[to];
        };
        convolve(Stage::convolved_queries, q, plan.query_heads(), plan.queries, plan.query_dim);
        convolve(Stage::convolved_keys, k, plan.key_heads(), plan.new_keys, plan.key_dim);
        convolve(Stage::convolved_values, v, plan.kv_heads, plan.new_keys, plan.value_dim);
    }
    const auto normed = [&](Stage stage, Held& x, Index heads, Index tokens, Index dim) {
        w.take(stage, [&] { return hold(sources.normed(x->view(), heads, tokens, dim, stage), like(x)); });
        x = w[stage];
    };
    const auto norm = [&] {
        if (plan.query_norm)
            normed(Stage::normed_queries, q, plan.query_heads(), plan.queries, plan.query_dim);
        if (plan.key_norm) normed(Stage::normed_keys, k, plan.key_heads(), plan.new_keys, plan.key_dim);
        if (plan.value_norm)
            normed(Stage::normed_values, v, plan.value_heads(), plan.new_keys, plan.value_dim);
    };
    if (!plan.norm_after_rope) norm();
    const std::vector<Index> all_queries = counted(plan.queries), all_keys = counted(plan.new_keys);
    if (plan.rope) {
        const Index moved = w.quirks.rope_first;
        const PlannedRope& rope = *plan.rope;
        w.take(Stage::rotated_queries, [&] {
            return w.quirks.rope_on_queries ? turned(w, q, rope.first_query + moved, rope.query_positions)
                                            : q;
        });
        if (plan.projects(WeightRole::rope_key)) {
            w.take(Stage::rope_keys, [&] {
                const Held raw = projected(w, WeightRole::rope_key, *plan.key_input);
                return w.quirks.rope_on_keys ? turned(w, raw, 0, rope.key_positions) : raw;
            });
            const auto widened = [&](const Held& x, const View<double>& shared, Index tokens) {
                return hold(
                    sources.widened(x->view(), plan.kv_heads, plan.key_dim, shared, rope.dims, tokens),
                    {plan.batch, plan.kv_heads, tokens, plan.key_dim + rope.dims});
            };
            w.take(Stage::rotated_keys,
                   [&] { return widened(k, w[Stage::rope_keys]->view(), plan.new_keys); });
            if (plan.past_rope_keys)
                w.past_keys = widened(
                    w.past_keys, {tensors_[*plan.past_rope_keys].data(), plan.past * rope.dims, 0, rope.dims},
                    plan.past);
        } else {
            w.take(Stage::rotated_keys,
                   [&] { return w.quirks.rope_on_keys ? turned(w, k, moved, rope.key_positions) : k; });
            if (w.quirks.cache_turned_again && w.past_keys) w.past_keys = past_turned(w);
        }
        q = w[Stage::rotated_queries], k = w[Stage::rotated_keys];
        if (w.quirks.rope_on_values)
            v = hold(sources.rotated(v->view(), plan.value_heads(), plan.value_dim, 0, all_keys,
                                     rope.key_positions),
                     like(v));
    }
    if (plan.norm_after_rope) norm();
    if (plan.query_scale) {
        w.take(Stage::tempered_queries,
               [&] { return hold(sources.tempered(q->view(), plan.heads, all_queries), like(q)); });
        q = w[Stage::tempered_queries];
    }
    if (plan.past > 0 || plan.has_appended()) {
        const auto joined = [&](const Held& past, const Held& x, const std::optional<std::size_t>& bias,
                                Index heads, Index dim) {
            return hold(sources.joined(past ? past->view() : View<double>{}, x->view(), bias, heads, dim),
                        {plan.batch, heads, plan.keys, dim});
        };
        w.take(Stage::all_keys, [&] { return joined(w.past_keys, k, plan.bias_k, plan.kv_heads, plan.dim); });
        w.take(Stage::all_values,
               [&] { return joined(w.past_values, v, plan.bias_v, plan.value_heads(), plan.value_dim); });
        k = w[Stage::all_keys], v = w[Stage::all_values];
    }
    if (plan.state) {
        if (plan.state->feature_map) {
            w.take(Stage::mapped_queries, [&] {
                return hold(sources.mapped(q->view(), plan.query_heads(), plan.queries, plan.dim,
                                           *plan.state->feature_map),
                            like(q));
            });
            w.take(Stage::mapped_keys, [&] {
                return hold(sources.mapped(k->view(), plan.key_heads(), plan.new_keys, plan.dim,
                                           *plan.state->feature_map),
                            like(k));
            });
            q = w[Stage::mapped_queries], k = w[Stage::mapped_keys];
            if (plan.state->map_values) {
                w.take(Stage::mapped_values, [&] {
                    return hold(sources.mapped(v->view(), plan.kv_heads, plan.new_keys, plan.value_dim,
                                               *plan.state->feature_map),
                                like(v));
                });
                v = w[Stage::mapped_values];
            }
        }
        if (plan.state->decays)
            per_token(w, Stage::decay, WeightRole::decay, plan.state->decay,
                      plan.state->decay_by_column ? plan.dim : 1);
        if (plan.state->has_beta)
            per_token(w, Stage::beta, WeightRole::beta, plan.state->beta,
                      plan.state->beta_by_column ? plan.value_dim : 1);
    }
    if (w.quirks.swap_queries_keys_in_use) std::swap(q, k);
    if (w.quirks.swap_keys_values_in_use) std::swap(k, v);
    if (w.quirks.values_are == ValuesAre::keys_in_use) v = k;
    if (plan.projects(WeightRole::score)) {
        const Projection& p = plan.projection(WeightRole::score);
        const Projection as_read = has(w.quirks.transposed, WeightRole::score) ? transposed(p, plan) : p;
        const LinearMap<double> map(as_read, plan, tensors_);
        auto out =
            std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, plan.heads, plan.queries, plan.dim});
        const Index rows = plan.batch * plan.heads * plan.queries;
        const Linear<double> linear(map, 0, plan.dim, rows, arena);
        linear.apply(q->values.data(), q->shape[3], rows, out->values.data(), plan.dim);
        q = out;
    }
    if (w.quirks.key_reshaped) {
        auto out = std::make_shared<Numbers4>(k->shape);
        const Index tokens = k->shape[2], dim = k->shape[3];
        for (Index b = 0; b < k->shape[0]; ++b)
            for (Index h = 0; h < k->shape[1]; ++h)
                for (Index t = 0; t < tokens; ++t)
                    for (Index c = 0; c < dim; ++c) out->row(b, h, t)[c] = k->row(b, h, 0)[c * tokens + t];
        k = out;
    }
    w.q = q, w.k = k, w.v = v;
}

/// One number per token and head, or one per column: as given, or from the embeddings of the keys.
void Replay::per_token(Work& w, Stage stage, WeightRole role, const std::optional<std::size_t>& given,
                       Index dim) const {
    const Plan& plan = w.plan;
    const Index heads = plan.kv_heads, tokens = plan.new_keys;
    w.take(stage, [&] {
        auto out = std::make_shared<Numbers4>(std::array<Index, 4>{plan.batch, heads, tokens, dim});
        Held made;
        View<double> from;
        if (!given) {
            made = heads_of(w, role, projected(w, role, *plan.key_input), heads, dim);
            from = made->view();
        }
        const double factor = role == WeightRole::beta ? plan.state->beta_factor : 1;
        const auto per_head = [&](const std::optional<std::size_t>& t, Index h) {
            return t ? tensors_[*t][idx(h)] : 0.0;
        };
        for (Index b = 0; b < plan.batch; ++b)
            for (Index h = 0; h < heads; ++h) {
                const double rate = std::exp(per_head(plan.state->log_rate, h)),
                             bias = per_head(plan.state->bias, h);
                for (Index t = 0; t < tokens; ++t)
                    for (Index k = 0; k < dim; ++k) {
                        const double x = given ? tensors_[*given][idx(plan.rate_number(*given, b, h, t, k))]
                                               : from.row(b, h, t)[k];
                        out->row(b, h, t)[k] =
                            factor * (given                      ? x
                                      : role == WeightRole::beta ? ops::sigmoid(x)
                                                                 : ops::log_decay(rate, x + bias));
                    }
            }
        return Held(out);
    });
}

}  // namespace attn
