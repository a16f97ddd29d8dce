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
template <class T, class F>
void each_row(const Grads<T>& x, const F& f) {
    for (Index b = 0; b < x.shape[0]; ++b)
        for (Index h = 0; h < x.shape[1]; ++h)
            for (Index t = 0; t < x.shape[2]; ++t) f(b, h, t);
}

/// Columns from `first` on of rows of `dy`, turned back, added to those of `dx`; the others as they are.
/// \param sign 1; -1: turned on
template <class T>
void turn_back(const Plan& plan, const Tensors<T>& tensors, const Grads<T>& dy, Grads<T>& dx, Index first,
               const Places& positions, double sign) {
    const PlannedRope& rope = *plan.rope;
    Turning<T> turning(plan, tensors);
    const std::vector<double>&cos = turning.cos(), &sin = turning.sin();
    std::vector<double> row(idx(dy.shape[3]));
    for (Index b = 0; b < dy.shape[0]; ++b)
        for (Index t = 0; t < dy.shape[2]; ++t) {
            turning.to(b, t, positions);
            for (Index h = 0; h < dy.shape[1]; ++h) {
                const T* from = dy.row(b, h, t);
                std::copy_n(from, dy.shape[3], row.data());
                for (Index n = 0; n < rope.pairs(); ++n) {
                    const Index i = rope.first_of(n), j = rope.second_of(n);
                    const auto u = static_cast<double>(from[first + i]),
                               v = static_cast<double>(from[first + j]);
                    row[idx(first + i)] = u * cos[idx(i)] + sign * v * sin[idx(j)];
                    row[idx(first + j)] = v * cos[idx(j)] - sign * u * sin[idx(i)];
                }
                T* to = dx.row(b, h, t);
                for (Index k = 0; k < dy.shape[3]; ++k) to[k] += static_cast<T>(row[idx(k)]);
            }
        }
}

WeightRole role_of(Stage stage) {
    return stage == Stage::queries ? WeightRole::query
           : stage == Stage::keys  ? WeightRole::key
                                   : WeightRole::value;
}

}  // namespace

template <class T>
const T* Backward<T>::input_numbers(std::size_t tensor) const {
    const std::optional<Stage> normed = plan_.normed_input(tensor);
    return normed ? forward_.of(*normed).data : forward_.tensors()[tensor].data();
}

/// [batch, token, head, width]: as a projection has made it. Up to the next call.
template <class T>
std::span<T> Backward<T>::tokens_first(const Grads<T>& x) {
    flat_.rewind();
    const std::span<T> out(flat_.take<T>(static_cast<Index>(x.values.size())), x.values.size());
    forward_.pool().run(x.shape[0] * x.shape[1], [&](Index job, int) {
        const Index b = job / x.shape[1], h = job % x.shape[1];
        for (Index t = 0; t < x.shape[2]; ++t)
            std::copy_n(x.row(b, h, t), x.shape[3],
                        out.data() + ((b * x.shape[2] + t) * x.shape[1] + h) * x.shape[3]);
    });
    return out;
}

/// q · W_score · kᵀ: what the scores have sent back to q · W_score goes on to q.
template <class T>
void Backward<T>::score_weight() {
    if (!plan_.projects(WeightRole::score)) return;
    const Stage read = plan_.find(Stage::scores)->reads.front();
    Grads<T>& dq = at(read);
    const View<T> q = forward_.of(read);
    std::vector<T> x(dq.values.size());
    each_row(dq, [&](Index b, Index h, Index t) {
        std::copy_n(q.row(b, h, t), dq.shape[3],
                    x.data() + ((b * dq.shape[1] + h) * dq.shape[2] + t) * dq.shape[3]);
    });
    through_projection(WeightRole::score, x.data(), dq.shape[0] * dq.shape[1] * dq.shape[2],
                       of_scored_queries().values.data(), {dq.values.data()});
}

template <class T>
void Backward<T>::normed_embeddings(const PlannedStage& stage) {
    const std::size_t tensor =
        stage.stage == Stage::normed_embeddings ? *plan_.query_input : *plan_.key_input;
    const Grads<T>& dy = at(stage.stage);
    const T* x = forward_.tensors()[tensor].data();
    T* dx = of_given(tensor).data();
    const Index width = dy.shape[3];
    for (Index r = 0; r < dy.shape[0] * dy.shape[2]; ++r)
        through_norm(*plan_.embeddings_norm, {},
                     {x + r * width, dy.values.data() + r * width, dx + r * width, 0, 0, 0}, 1, width);
}

template <class T>
void Backward<T>::normed(const PlannedStage& stage) {
    const Grads<T>& dy = at(stage.stage);
    const Stage read = stage.reads.front();
    const View<T> x = forward_.of(read);
    Grads<T>& dx = at(read);
    const Index step = dy.shape[2] * dy.shape[3];
    for (Index b = 0; b < dy.shape[0]; ++b)
        for (Index t = 0; t < dy.shape[2]; ++t)
            through_norm(plan_.norm_of(stage.stage), plan_.limit_of(stage.stage),
                         {x.row(b, 0, t), dy.row(b, 0, t), dx.row(b, 0, t), x.head, step, step}, dy.shape[1],
                         dy.shape[3]);
}

template <class T>
void Backward<T>::rotated(const PlannedStage& stage) {
    const Grads<T>& dy = at(stage.stage);
    const bool of_queries = stage.stage == Stage::rotated_queries;
    Grads<T>& dx = at(stage.reads.front());
    if (stage.reads.size() == 1) {
        const PlannedRope& rope = *plan_.rope;
        turn_back(plan_, forward_.tensors(), dy, dx, of_queries ? rope.first_query : 0,
                  rope.positions(of_queries), rope_sign());
        return;
    }
    // Every head's columns, then those that all heads share.
    Grads<T>& shared = at(Stage::rope_keys);
    each_row(dy, [&](Index b, Index h, Index t) {
        for (Index k = 0; k < plan_.key_dim; ++k) dx.row(b, h, t)[k] += dy.row(b, h, t)[k];
        for (Index k = 0; k < shared.shape[3]; ++k)
            shared.row(b, 0, t)[k] += dy.row(b, h, t)[plan_.key_dim + k];
    });
}

template <class T>
void Backward<T>::rope_keys(const PlannedStage& stage) {
    const Grads<T>& dy = at(stage.stage);
    Grads<T> raw(dy.shape);
    turn_back(plan_, forward_.tensors(), dy, raw, 0, plan_.rope->key_positions, rope_sign());
    through_projection(WeightRole::rope_key, input_numbers(*plan_.key_input), plan_.batch * plan_.new_keys,
                       raw.values.data(), into_input(*plan_.key_input));
}

template <class T>
void Backward<T>::tempered(const PlannedStage& stage) {
    const Grads<T>& dy = at(stage.stage);
    Grads<T>& dx = at(stage.reads.front());
    each_row(dy, [&](Index b, Index h, Index t) {
        for (Index k = 0; k < dy.shape[3]; ++k)
            dx.row(b, h, t)[k] +=
                static_cast<T>(static_cast<double>(dy.row(b, h, t)[k]) * plan_.query_scale->at(b, h, t));
    });
}

template <class T>
void Backward<T>::mapped(const PlannedStage& stage) {
    const Grads<T>& dy = at(stage.stage);
    const Stage read = stage.reads.front();
    const View<T> x = forward_.of(read);
    Grads<T>& dx = at(read);
    each_row(dy, [&](Index b, Index h, Index t) {
        for (Index k = 0; k < dy.shape[3]; ++k)
            dx.row(b, h, t)[k] += static_cast<T>(
                static_cast<double>(dy.row(b, h, t)[k]) *
                slope_of_map(*plan_.state->feature_map, static_cast<double>(x.row(b, h, t)[k])));
    });
}

/// A causal convolution over tokens: what a tap has multiplied gets the tap times what its sum has sent back.
template <class T>
void Backward<T>::convolved(const PlannedStage& stage) {
    const Grads<T>& dy = at(stage.stage);
    const Stage read = stage.reads.front();
    const View<T> x = forward_.of(read);
    Grads<T>& dx = at(read);
    const PlannedConv& conv = *plan_.conv;
    const PlannedConv::Part& part = conv.of(stage.stage);
    const std::span<const T> taps = forward_.tensors()[part.weight];
    const std::span<const T> past = conv.past ? forward_.tensors()[*conv.past] : std::span<const T>{};
    std::vector<double>& dtaps = of_tensor(part.weight);
    const Index dim = dy.shape[3];
    each_row(dy, [&](Index b, Index h, Index t) {
        for (Index c = 0; c < dim; ++c) {
            const Index channel = h * dim + c;
            double sum = part.bias
                             ? static_cast<double>(forward_.tensors()[*part.bias][idx(part.first + channel)])
                             : 0;
            const auto each_tap = [&](const auto& f) {
                for (Index k = 0; k < conv.taps; ++k) {
                    const Index from = t + k + 1 - conv.taps;
                    const std::size_t tap = idx(conv.tap(part, channel, k));
                    if (from >= 0)
                        f(tap, static_cast<double>(x.row(b, h, from)[c]), &dx.row(b, h, from)[c]);
                    else if (conv.past) {
                        const std::size_t place = idx(conv.before(part, b, channel, t, k));
                        f(tap, static_cast<double>(past[place]), &of_given(*conv.past)[place]);
                    }
                }
            };
            each_tap(
                [&](std::size_t tap, double value, T*) { sum += static_cast<double>(taps[tap]) * value; });
            auto d = static_cast<double>(dy.row(b, h, t)[c]);
            if (conv.silu) d *= slope_of_map(FeatureMap::silu, sum);
            each_tap([&](std::size_t tap, double value, T* sent) {
                dtaps[tap] += d * value;
                *sent += static_cast<T>(d * static_cast<double>(taps[tap]));
            });
            if (part.bias) of_tensor(*part.bias)[idx(part.first + channel)] += d;
        }
    });
}

/// The cache, the new rows, what is appended.
template <class T>
void Backward<T>::joined(const PlannedStage& stage) {
    const Grads<T>& dy = at(stage.stage);
    Grads<T>& dx = at(stage.reads.front());
    const bool keys = stage.stage == Stage::all_keys;
    const Index dim = dy.shape[3], heads = dy.shape[1];
    const std::optional<std::size_t>&past = keys ? plan_.past_keys : plan_.past_values,
          &bias = keys ? plan_.bias_k : plan_.bias_v;
    const Index made = keys ? plan_.key_dim : plan_.value_dim;  // of a cached latent
    std::optional<Grads<T>>& from_latent = keys ? past_keys_ : past_values_;
    if (plan_.past_latent) from_latent.emplace(std::array<Index, 4>{plan_.batch, heads, plan_.past, made});
    each_row(dy, [&](Index b, Index h, Index t) {
        const T* from = dy.row(b, h, t);
        const auto add = [&](auto* to, Index count) {
            for (Index k = 0; k < count; ++k) to[k] += from[k];
        };
        if (t >= plan_.given_keys()) {
            if (bias && t == plan_.given_keys()) add(of_tensor(*bias).data() + h * dim, dim);
        } else if (t >= plan_.past) {
            add(dx.row(b, h, t - plan_.past), dim);
        } else if (past) {
            add(of_given(*past).data() + ((b * heads + h) * plan_.past + t) * dim, dim);
        } else {
            add(from_latent->row(b, h, t), made);
            if (!keys || !plan_.past_rope_keys) return;
            T* to = of_given(*plan_.past_rope_keys).data() + (b * plan_.past + t) * (dim - made);
            for (Index k = made; k < dim; ++k) to[k - made] += from[k];
        }
    });
}

/// Queries, keys or values from embeddings, or given: then they are the inputs themselves.
template <class T>
void Backward<T>::projected(const PlannedStage& stage) {
    if (plan_.projected_given) return;
    const WeightRole role = role_of(stage.stage);
    const std::size_t input = role == WeightRole::query ? *plan_.query_input
                              : role == WeightRole::key ? *plan_.key_input
                                                        : *plan_.value_input;
    const Grads<T>& dy = at(stage.stage);
    const Index rows = dy.shape[0] * dy.shape[2];
    const std::span<T> flat = tokens_first(dy);
    if (!plan_.projects(role)) {
        if (!sends_to_input(role)) return;
        T* dx = of_input(input);
        for (std::size_t k = 0; k < flat.size(); ++k) dx[k] += flat[k];
        return;
    }
    const T* x = input_numbers(input);
    To dx;
    if (role == WeightRole::query && plan_.projects(WeightRole::query_latent)) {
        const Stage narrow = plan_.query_latent_norm ? Stage::normed_query_latent : Stage::query_latent;
        x = forward_.of(narrow).data;
        const AtFirst d_narrow = at_first(narrow);
        dx = {d_narrow.grads.values.data(), d_narrow.adds};
    } else {
        dx = into_input(input);
    }
    if (const std::optional<double> limit = plan_.limit_of(stage.stage)) {
        // What is clamped passes a gradient where it is within the bound.
        const LinearMap<T> map(plan_.projection(role), plan_, forward_.tensors());
        const Index width = map.d_out(), own = dy.shape[3];
        const bool both = width != dy.shape[1] * own;  // a gate stands beside each query
        std::vector<T> y(idx(rows * width));
        Arena arena;
        Linear<T>(map, 0, width, rows, arena).apply(x, map.d_in(), rows, y.data(), width);
        for (Index r = 0; r < rows; ++r)
            for (Index c = 0; c < dy.shape[1] * own; ++c) {
                const Index at = both ? c / own * 2 * own + c % own : c;
                if (!(std::abs(static_cast<double>(y[idx(r * width + at)])) <= *limit))
                    flat[idx(r * dy.shape[1] * own + c)] = 0;
            }
    }
    std::vector<T> both;
    if (role == WeightRole::query && plan_.gate && plan_.gate->from_queries) {
        const Index dim = dy.shape[3];
        for (std::size_t k = 0; k < flat.size(); k += idx(dim)) {
            const auto from = static_cast<std::ptrdiff_t>(k);
            both.insert(both.end(), flat.begin() + from, flat.begin() + from + dim);
            both.insert(both.end(), gate_of_queries_.begin() + from, gate_of_queries_.begin() + from + dim);
        }
    }
    through_projection(role, x, rows, both.empty() ? flat.data() : both.data(), dx);
}

/// Keys or values from a latent, and those of the cache from its latents.
template <class T>
void Backward<T>::from_latent(const PlannedStage& stage) {
    const WeightRole role = role_of(stage.stage);
    const Stage read = stage.reads.front();
    const Grads<T>& dy = at(stage.stage);
    through_projection(role, forward_.of(read).data, plan_.batch * plan_.new_keys, tokens_first(dy).data(),
                       {at(read).values.data()});
    const std::optional<Grads<T>>& past = role == WeightRole::key ? past_keys_ : past_values_;
    if (!past) return;
    through_projection(role, forward_.tensors()[*plan_.past_latent].data(), plan_.batch * plan_.past,
                       tokens_first(*past).data(), {of_given(*plan_.past_latent).data()});
}

template <class T>
void Backward<T>::latent(const PlannedStage& stage) {
    const bool of_queries = stage.stage == Stage::query_latent;
    const std::size_t input = of_queries ? *plan_.query_input : *plan_.key_input;
    const Grads<T>& dy = at(stage.stage);
    through_projection(of_queries ? WeightRole::query_latent : WeightRole::latent, input_numbers(input),
                       dy.shape[0] * dy.shape[2], dy.values.data(), into_input(input));
}

/// decay = -e^A_log · softplus(x + bias), beta = factor · sigmoid(x), x a projection of the keys' embeddings.
template <class T>
void Backward<T>::rate(const PlannedStage& stage) {
    const bool decay = stage.stage == Stage::decay;
    const PlannedState& state = *plan_.state;
    if (decay ? state.decay.has_value() : state.beta.has_value()) return;
    const WeightRole role = decay ? WeightRole::decay : WeightRole::beta;
    const LinearMap<T> map(plan_.projection(role), plan_, forward_.tensors());
    const Index rows = plan_.batch * plan_.new_keys, width = map.d_out();
    const T* x = input_numbers(*plan_.key_input);
    std::vector<T> z(idx(rows * width));
    Arena arena;
    Linear<T>(map, 0, width, rows, arena).apply(x, map.d_in(), rows, z.data(), width);
    const Grads<T>& dy = at(stage.stage);
    const Index each = dy.shape[3];
    const std::span<T> dz = tokens_first(dy);
    const auto per_head = [&](const std::optional<std::size_t>& t, Index h) {
        return t ? static_cast<double>(forward_.tensors()[*t][idx(h)]) : 0.0;
    };
    for (Index r = 0; r < rows; ++r)
        for (Index c = 0; c < width; ++c) {
            const Index h = c / each;
            const std::size_t k = idx(r * width + c);
            const auto given = static_cast<double>(z[k]), d = static_cast<double>(dz[k]);
            if (!decay) {
                const double s = ops::sigmoid(given);
                dz[k] = static_cast<T>(d * state.beta_factor * s * (1 - s));
                continue;
            }
            const double a = given + per_head(state.bias, h), speed = std::exp(per_head(state.log_rate, h));
            if (state.log_rate) of_tensor(*state.log_rate)[idx(h)] += d * ops::log_decay(speed, a);
            const double sent = d * -speed * ops::sigmoid(a);
            dz[k] = static_cast<T>(sent);
            if (state.bias) of_tensor(*state.bias)[idx(h)] += sent;
        }
    through_projection(role, x, rows, dz.data(), into_input(*plan_.key_input));
}

template const float* Backward<float>::input_numbers(std::size_t tensor) const;
template std::span<float> Backward<float>::tokens_first(const Grads<float>& x);
template void Backward<float>::score_weight();
template void Backward<float>::normed_embeddings(const PlannedStage& stage);
template void Backward<float>::normed(const PlannedStage& stage);
template void Backward<float>::rotated(const PlannedStage& stage);
template void Backward<float>::rope_keys(const PlannedStage& stage);
template void Backward<float>::tempered(const PlannedStage& stage);
template void Backward<float>::mapped(const PlannedStage& stage);
template void Backward<float>::convolved(const PlannedStage& stage);
template void Backward<float>::joined(const PlannedStage& stage);
template void Backward<float>::projected(const PlannedStage& stage);
template void Backward<float>::from_latent(const PlannedStage& stage);
template void Backward<float>::latent(const PlannedStage& stage);
template void Backward<float>::rate(const PlannedStage& stage);
template const double* Backward<double>::input_numbers(std::size_t tensor) const;
template std::span<double> Backward<double>::tokens_first(const Grads<double>& x);
template void Backward<double>::score_weight();
template void Backward<double>::normed_embeddings(const PlannedStage& stage);
template void Backward<double>::normed(const PlannedStage& stage);
template void Backward<double>::rotated(const PlannedStage& stage);
template void Backward<double>::rope_keys(const PlannedStage& stage);
template void Backward<double>::tempered(const PlannedStage& stage);
template void Backward<double>::mapped(const PlannedStage& stage);
template void Backward<double>::convolved(const PlannedStage& stage);
template void Backward<double>::joined(const PlannedStage& stage);
template void Backward<double>::projected(const PlannedStage& stage);
template void Backward<double>::from_latent(const PlannedStage& stage);
template void Backward<double>::latent(const PlannedStage& stage);
template void Backward<double>::rate(const PlannedStage& stage);

}  // namespace attn::gradient
