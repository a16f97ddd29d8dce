// From queries, keys and values in use back to the inputs.
#include <algorithm>
#include <cmath>

#include "lib/gradient/backward.hpp"
#include "lib/run/linear.hpp"
#include "lib/run/ops.hpp"

namespace attn::gradient {
namespace {

/// The slope of a feature map.
double slope_of_map(FeatureMap map, double x) {
    switch (map) {
        case FeatureMap::elu1:
            return x > 0 ? 1 : std::exp(x);
        case FeatureMap::relu:
            return x > 0 ? 1 : 0;
        case FeatureMap::silu: {
            const double s = ops::sigmoid(x);
            return s * (1 + x * (1 - s));
        }
        case FeatureMap::identity:
            break;
    }
    return 1;
}

/// f(item, head, token) of each row.
template <class F>
void each_row(const Grads& x, const F& f) {
    for (Index b = 0; b < x.shape[0]; ++b)
        for (Index h = 0; h < x.shape[1]; ++h)
            for (Index t = 0; t < x.shape[2]; ++t) f(b, h, t);
}

/// Columns from `first` on of rows of `dy`, turned back, added to those of `dx`; the others as they are.
/// \param sign 1; -1: turned on
void turn_back(const Plan& plan, const Tensors<double>& tensors, const Grads& dy, Grads& dx, Index first,
               const Places& positions, double sign) {
    const PlannedRope& rope = *plan.rope;
    Turning<double> turning(plan, tensors);
    const std::vector<double>&cos = turning.cos(), &sin = turning.sin();
    std::vector<double> row(idx(dy.shape[3]));
    for (Index b = 0; b < dy.shape[0]; ++b)
        for (Index t = 0; t < dy.shape[2]; ++t) {
            turning.to(b, t, positions);
            for (Index h = 0; h < dy.shape[1]; ++h) {
                const double* from = dy.row(b, h, t);
                std::copy_n(from, dy.shape[3], row.data());
                for (Index n = 0; n < rope.pairs(); ++n) {
                    const Index i = rope.first_of(n), j = rope.second_of(n);
                    const double u = from[first + i], v = from[first + j];
                    row[idx(first + i)] = u * cos[idx(i)] + sign * v * sin[idx(j)];
                    row[idx(first + j)] = v * cos[idx(j)] - sign * u * sin[idx(i)];
                }
                double* to = dx.row(b, h, t);
                for (Index k = 0; k < dy.shape[3]; ++k) to[k] += row[idx(k)];
            }
        }
}

WeightRole role_of(Stage stage) {
    return stage == Stage::queries ? WeightRole::query
           : stage == Stage::keys  ? WeightRole::key
                                   : WeightRole::value;
}

}  // namespace

const double* Backward::input_numbers(std::size_t tensor) const {
    const std::optional<Stage> normed = plan_.normed_input(tensor);
    return normed ? forward_.of(*normed).data : forward_.tensors()[tensor].data();
}

/// [batch, token, head, width]: as a projection has made it.
std::vector<double> Backward::tokens_first(const Grads& x) const {
    std::vector<double> out(x.values.size());
    each_row(x, [&](Index b, Index h, Index t) {
        std::copy_n(x.row(b, h, t), x.shape[3],
                    out.data() + ((b * x.shape[2] + t) * x.shape[1] + h) * x.shape[3]);
    });
    return out;
}

/// q · W_score · kᵀ: what the scores have sent back to q · W_score goes on to q.
void Backward::score_weight() {
    if (!plan_.projects(WeightRole::score)) return;
    const Stage read = plan_.find(Stage::scores)->reads.front();
    Grads& dq = at(read);
    const View<double> q = forward_.of(read);
    std::vector<double> x(dq.values.size());
    each_row(dq, [&](Index b, Index h, Index t) {
        std::copy_n(q.row(b, h, t), dq.shape[3],
                    x.data() + ((b * dq.shape[1] + h) * dq.shape[2] + t) * dq.shape[3]);
    });
    through_projection(WeightRole::score, x.data(), dq.shape[0] * dq.shape[1] * dq.shape[2],
                       of_scored_queries().values.data(), dq.values.data());
}

void Backward::normed_embeddings(const PlannedStage& stage) {
    const std::size_t tensor =
        stage.stage == Stage::normed_embeddings ? *plan_.query_input : *plan_.key_input;
    const Grads& dy = at(stage.stage);
    const double* x = forward_.tensors()[tensor].data();
    double* dx = of_tensor(tensor).data();
    const Index width = dy.shape[3];
    for (Index r = 0; r < dy.shape[0] * dy.shape[2]; ++r)
        through_norm(*plan_.embeddings_norm, {},
                     {x + r * width, dy.values.data() + r * width, dx + r * width, 0, 0, 0}, 1, width);
}

void Backward::normed(const PlannedStage& stage) {
    const Grads& dy = at(stage.stage);
    const Stage read = stage.reads.front();
    const View<double> x = forward_.of(read);
    Grads& dx = at(read);
    const Index step = dy.shape[2] * dy.shape[3];
    for (Index b = 0; b < dy.shape[0]; ++b)
        for (Index t = 0; t < dy.shape[2]; ++t)
            through_norm(plan_.norm_of(stage.stage), plan_.limit_of(stage.stage),
                         {x.row(b, 0, t), dy.row(b, 0, t), dx.row(b, 0, t), x.head, step, step}, dy.shape[1],
                         dy.shape[3]);
}

void Backward::rotated(const PlannedStage& stage) {
    const Grads& dy = at(stage.stage);
    const bool of_queries = stage.stage == Stage::rotated_queries;
    Grads& dx = at(stage.reads.front());
    if (stage.reads.size() == 1) {
        const PlannedRope& rope = *plan_.rope;
        turn_back(plan_, forward_.tensors(), dy, dx, of_queries ? rope.first_query : 0,
                  rope.positions(of_queries), rope_sign());
        return;
    }
    // Every head's columns, then those that all heads share.
    Grads& shared = at(Stage::rope_keys);
    each_row(dy, [&](Index b, Index h, Index t) {
        for (Index k = 0; k < plan_.key_dim; ++k) dx.row(b, h, t)[k] += dy.row(b, h, t)[k];
        for (Index k = 0; k < shared.shape[3]; ++k)
            shared.row(b, 0, t)[k] += dy.row(b, h, t)[plan_.key_dim + k];
    });
}

void Backward::rope_keys(const PlannedStage& stage) {
    const Grads& dy = at(stage.stage);
    Grads raw(dy.shape);
    turn_back(plan_, forward_.tensors(), dy, raw, 0, plan_.rope->key_positions, rope_sign());
    through_projection(WeightRole::rope_key, input_numbers(*plan_.key_input), plan_.batch * plan_.new_keys,
                       raw.values.data(), of_input(*plan_.key_input));
}

void Backward::tempered(const PlannedStage& stage) {
    const Grads& dy = at(stage.stage);
    Grads& dx = at(stage.reads.front());
    each_row(dy, [&](Index b, Index h, Index t) {
        for (Index k = 0; k < dy.shape[3]; ++k)
            dx.row(b, h, t)[k] += dy.row(b, h, t)[k] * plan_.query_scale->at(b, h, t);
    });
}

void Backward::mapped(const PlannedStage& stage) {
    const Grads& dy = at(stage.stage);
    const Stage read = stage.reads.front();
    const View<double> x = forward_.of(read);
    Grads& dx = at(read);
    each_row(dy, [&](Index b, Index h, Index t) {
        for (Index k = 0; k < dy.shape[3]; ++k)
            dx.row(b, h, t)[k] +=
                dy.row(b, h, t)[k] * slope_of_map(*plan_.state->feature_map, x.row(b, h, t)[k]);
    });
}

/// A causal convolution over tokens: what a tap has multiplied gets the tap times what its sum has sent back.
void Backward::convolved(const PlannedStage& stage) {
    const Grads& dy = at(stage.stage);
    const Stage read = stage.reads.front();
    const View<double> x = forward_.of(read);
    Grads& dx = at(read);
    const PlannedConv& conv = *plan_.conv;
    const PlannedConv::Part& part = conv.of(stage.stage);
    const std::span<const double> taps = forward_.tensors()[part.weight];
    const std::span<const double> past =
        conv.past ? forward_.tensors()[*conv.past] : std::span<const double>{};
    std::vector<double>& dtaps = of_tensor(part.weight);
    const Index dim = dy.shape[3];
    each_row(dy, [&](Index b, Index h, Index t) {
        for (Index c = 0; c < dim; ++c) {
            const Index channel = h * dim + c;
            double sum = part.bias ? forward_.tensors()[*part.bias][idx(part.first + channel)] : 0;
            const auto each_tap = [&](const auto& f) {
                for (Index k = 0; k < conv.taps; ++k) {
                    const Index from = t + k + 1 - conv.taps;
                    const std::size_t tap = idx(conv.tap(part, channel, k));
                    if (from >= 0)
                        f(tap, x.row(b, h, from)[c], &dx.row(b, h, from)[c]);
                    else if (conv.past) {
                        const std::size_t place = idx(conv.before(part, b, channel, t, k));
                        f(tap, past[place], &of_tensor(*conv.past)[place]);
                    }
                }
            };
            each_tap([&](std::size_t tap, double value, double*) { sum += taps[tap] * value; });
            double d = dy.row(b, h, t)[c];
            if (conv.silu) d *= slope_of_map(FeatureMap::silu, sum);
            each_tap([&](std::size_t tap, double value, double* sent) {
                dtaps[tap] += d * value;
                *sent += d * taps[tap];
            });
            if (part.bias) of_tensor(*part.bias)[idx(part.first + channel)] += d;
        }
    });
}

/// The cache, the new rows, what is appended.
void Backward::joined(const PlannedStage& stage) {
    const Grads& dy = at(stage.stage);
    Grads& dx = at(stage.reads.front());
    const bool keys = stage.stage == Stage::all_keys;
    const Index dim = dy.shape[3], heads = dy.shape[1];
    const std::optional<std::size_t>&past = keys ? plan_.past_keys : plan_.past_values,
          &bias = keys ? plan_.bias_k : plan_.bias_v;
    const Index made = keys ? plan_.key_dim : plan_.value_dim;  // of a cached latent
    std::optional<Grads>& from_latent = keys ? past_keys_ : past_values_;
    if (plan_.past_latent) from_latent.emplace(std::array<Index, 4>{plan_.batch, heads, plan_.past, made});
    each_row(dy, [&](Index b, Index h, Index t) {
        const double* from = dy.row(b, h, t);
        const auto add = [&](double* to, Index count) {
            for (Index k = 0; k < count; ++k) to[k] += from[k];
        };
        if (t >= plan_.given_keys()) {
            if (bias && t == plan_.given_keys()) add(of_tensor(*bias).data() + h * dim, dim);
        } else if (t >= plan_.past) {
            add(dx.row(b, h, t - plan_.past), dim);
        } else if (past) {
            add(of_tensor(*past).data() + ((b * heads + h) * plan_.past + t) * dim, dim);
        } else {
            add(from_latent->row(b, h, t), made);
            if (!keys || !plan_.past_rope_keys) return;
            double* to = of_tensor(*plan_.past_rope_keys).data() + (b * plan_.past + t) * (dim - made);
            for (Index k = made; k < dim; ++k) to[k - made] += from[k];
        }
    });
}

/// Queries, keys or values from embeddings, or given: then they are the inputs themselves.
void Backward::projected(const PlannedStage& stage) {
    if (plan_.projected_given) return;
    const WeightRole role = role_of(stage.stage);
    const std::size_t input = role == WeightRole::query ? *plan_.query_input
                              : role == WeightRole::key ? *plan_.key_input
                                                        : *plan_.value_input;
    const Grads& dy = at(stage.stage);
    const Index rows = dy.shape[0] * dy.shape[2];
    std::vector<double> flat = tokens_first(dy);
    if (!plan_.projects(role)) {
        if (!sends_to_input(role)) return;
        double* dx = of_input(input);
        for (std::size_t k = 0; k < flat.size(); ++k) dx[k] += flat[k];
        return;
    }
    const double* x = input_numbers(input);
    double* dx = nullptr;
    if (role == WeightRole::query && plan_.projects(WeightRole::query_latent)) {
        const Stage narrow = plan_.query_latent_norm ? Stage::normed_query_latent : Stage::query_latent;
        x = forward_.of(narrow).data;
        dx = at(narrow).values.data();
    } else {
        dx = of_input(input);
    }
    if (const std::optional<double> limit = plan_.limit_of(stage.stage)) {
        // What is clamped passes a gradient where it is within the bound.
        const LinearMap<double> map(plan_.projection(role), plan_, forward_.tensors());
        const Index width = map.d_out(), own = dy.shape[3];
        const bool both = width != dy.shape[1] * own;  // a gate stands beside each query
        std::vector<double> y(idx(rows * width));
        Arena arena;
        Linear<double>(map, 0, width, rows, arena).apply(x, map.d_in(), rows, y.data(), width);
        for (Index r = 0; r < rows; ++r)
            for (Index c = 0; c < dy.shape[1] * own; ++c) {
                const Index at = both ? c / own * 2 * own + c % own : c;
                if (!(std::abs(y[idx(r * width + at)]) <= *limit)) flat[idx(r * dy.shape[1] * own + c)] = 0;
            }
    }
    if (role == WeightRole::query && plan_.gate && plan_.gate->from_queries) {
        std::vector<double> both;
        const Index dim = dy.shape[3];
        for (std::size_t k = 0; k < flat.size(); k += idx(dim)) {
            const auto from = static_cast<std::ptrdiff_t>(k);
            both.insert(both.end(), flat.begin() + from, flat.begin() + from + dim);
            both.insert(both.end(), gate_of_queries_.begin() + from, gate_of_queries_.begin() + from + dim);
        }
        flat = std::move(both);
    }
    through_projection(role, x, rows, flat.data(), dx);
}

/// Keys or values from a latent, and those of the cache from its latents.
void Backward::from_latent(const PlannedStage& stage) {
    const WeightRole role = role_of(stage.stage);
    const Stage read = stage.reads.front();
    const Grads& dy = at(stage.stage);
    through_projection(role, forward_.of(read).data, plan_.batch * plan_.new_keys, tokens_first(dy).data(),
                       at(read).values.data());
    const std::optional<Grads>& past = role == WeightRole::key ? past_keys_ : past_values_;
    if (!past) return;
    through_projection(role, forward_.tensors()[*plan_.past_latent].data(), plan_.batch * plan_.past,
                       tokens_first(*past).data(), of_tensor(*plan_.past_latent).data());
}

void Backward::latent(const PlannedStage& stage) {
    const bool of_queries = stage.stage == Stage::query_latent;
    const std::size_t input = of_queries ? *plan_.query_input : *plan_.key_input;
    const Grads& dy = at(stage.stage);
    through_projection(of_queries ? WeightRole::query_latent : WeightRole::latent, input_numbers(input),
                       dy.shape[0] * dy.shape[2], dy.values.data(), of_input(input));
}

/// decay = -e^A_log · softplus(x + bias), beta = factor · sigmoid(x), x a projection of the keys' embeddings.
void Backward::rate(const PlannedStage& stage) {
    const bool decay = stage.stage == Stage::decay;
    const PlannedState& state = *plan_.state;
    if (decay ? state.decay.has_value() : state.beta.has_value()) return;
    const WeightRole role = decay ? WeightRole::decay : WeightRole::beta;
    const LinearMap<double> map(plan_.projection(role), plan_, forward_.tensors());
    const Index rows = plan_.batch * plan_.new_keys, width = map.d_out();
    const double* x = input_numbers(*plan_.key_input);
    std::vector<double> z(idx(rows * width));
    Arena arena;
    Linear<double>(map, 0, width, rows, arena).apply(x, map.d_in(), rows, z.data(), width);
    const Grads& dy = at(stage.stage);
    const Index each = dy.shape[3];
    std::vector<double> dz = tokens_first(dy);
    const auto per_head = [&](const std::optional<std::size_t>& t, Index h) {
        return t ? forward_.tensors()[*t][idx(h)] : 0.0;
    };
    for (Index r = 0; r < rows; ++r)
        for (Index c = 0; c < width; ++c) {
            const Index h = c / each;
            const std::size_t k = idx(r * width + c);
            if (!decay) {
                const double s = ops::sigmoid(z[k]);
                dz[k] *= state.beta_factor * s * (1 - s);
                continue;
            }
            const double a = z[k] + per_head(state.bias, h), speed = std::exp(per_head(state.log_rate, h));
            if (state.log_rate) of_tensor(*state.log_rate)[idx(h)] += dz[k] * ops::log_decay(speed, a);
            dz[k] *= -speed * ops::sigmoid(a);
            if (state.bias) of_tensor(*state.bias)[idx(h)] += dz[k];
        }
    through_projection(role, x, rows, dz.data(), of_input(*plan_.key_input));
}

}  // namespace attn::gradient
