#include "lib/run/materialize.hpp"

#include <algorithm>
#include <utility>

#include "lib/random/torch.hpp"

namespace attn {
namespace {

std::size_t elements(const TensorSource& t) { return static_cast<std::size_t>(*element_count(t.shape)); }

template <class T>
std::vector<T> widened(std::vector<float>&& x) {
    if constexpr (sizeof(T) == sizeof(float))
        return std::move(x);
    else
        return std::vector<T>(x.begin(), x.end());
}

template <class T>
std::vector<T> literal(const TensorSource& t) {
    std::vector<T> out(t.values.size());
    std::transform(t.values.begin(), t.values.end(), out.begin(), [](double v) { return static_cast<T>(v); });
    if constexpr (sizeof(T) == sizeof(float))
        for (const auto& [k, v] : t.float32_exceptions) out[k] = v;
    return out;
}

/// torch.rand, torch.randn, torch.nn.Embedding(num_embeddings, dim)(ids).
std::vector<float> drawn(const TensorSource& t) {
    torch::Generator generator(t.seed);
    if (t.kind == TensorSource::Kind::embedding) {
        const auto dim = static_cast<std::size_t>(t.shape.back());
        std::vector<float> table(static_cast<std::size_t>(t.num_embeddings) * dim), out;
        torch::embedding(generator, table);
        out.reserve(elements(t));
        for (const Index id : t.ids) {
            const auto from = table.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(id) * dim);
            out.insert(out.end(), from, from + static_cast<std::ptrdiff_t>(dim));
        }
        return out;
    }
    std::vector<float> out(elements(t));
    if (t.kind == TensorSource::Kind::rand) {
        torch::uniform(generator, out, 0, 1);
    } else {
        torch::normal(generator, out);
    }
    return out;
}

/// The drawn weights of a plan, in the order in which their tensors stand.
std::vector<std::vector<float>> draw_weights(const Plan& plan) {
    std::vector<const TensorSource*> places;
    for (const TensorSource& t : plan.tensors)
        if (t.kind == TensorSource::Kind::drawn_weight) places.push_back(&t);
    std::vector<std::vector<float>> out;
    torch::Generator generator(plan.init->seed);
    if (plan.init->kind == WeightsInit::Kind::multihead) {
        auto w = torch::multihead(generator, plan.query_projection.d_in, plan.init->bias.value_or(true),
                                  false, plan.key_projection.d_in, plan.value_projection.d_in);
        for (auto* part : {&w.in_proj_weight, &w.q_proj_weight, &w.k_proj_weight, &w.v_proj_weight,
                           &w.in_proj_bias, &w.out_proj_weight, &w.out_proj_bias})
            if (!part->empty()) out.push_back(std::move(*part));
        return out;
    }
    // A matrix is followed by its bias; torch.rand draws plain matrices, the output projection is always
    // nn.Linear.
    const bool rand = plan.init->kind == WeightsInit::Kind::rand;
    const std::size_t output_at = plan.has_output ? places.size() - 2 : places.size();
    for (std::size_t k = 0; k < places.size(); ++k) {
        std::vector<float> weight(elements(*places[k]));
        if (rand && k < output_at) {
            torch::uniform(generator, weight, 0, 1);
            out.push_back(std::move(weight));
            continue;
        }
        std::vector<float> bias;
        if (k + 1 < places.size() && places[k + 1]->shape.size() == 1) bias.resize(elements(*places[k + 1]));
        torch::linear(generator, places[k]->shape[1], weight, bias);
        out.push_back(std::move(weight));
        if (bias.empty()) continue;
        out.push_back(std::move(bias));
        ++k;
    }
    return out;
}

}  // namespace

template <class T>
Tensors<T>::Tensors(const Plan& plan) {
    std::vector<std::vector<float>> weights;
    if (plan.init) weights = draw_weights(plan);
    std::size_t next = 0;
    for (const TensorSource& t : plan.tensors) {
        switch (t.kind) {
            case TensorSource::Kind::literal:
                numbers_.push_back(literal<T>(t));
                break;
            case TensorSource::Kind::drawn_weight:
                numbers_.push_back(widened<T>(std::move(weights[next++])));
                break;
            case TensorSource::Kind::rand:
            case TensorSource::Kind::randn:
            case TensorSource::Kind::embedding:
                numbers_.push_back(widened<T>(drawn(t)));
                break;
        }
    }
}

template <class T>
LinearMap<T> assemble(const Projection& projection, const Plan& plan, const Tensors<T>& tensors) {
    LinearMap<T> out{matrix<T>(projection.d_in, projection.d_out), {}};
    for (const WeightPiece& p : projection.weight) {
        const std::vector<T>& from = tensors[p.tensor];
        const Index columns = plan.tensors[p.tensor].shape.back();
        for (Index i = 0; i < projection.d_in; ++i) {
            T* to = out.weight.data() + i * projection.d_out + p.target_begin;
            for (Index o = 0; o < p.outputs; ++o) {
                const Index k =
                    p.out_in ? (p.source_begin + o) * columns + i : i * columns + p.source_begin + o;
                to[o] = from[static_cast<std::size_t>(k)];
            }
        }
    }
    if (projection.bias.empty()) return out;
    out.bias.assign(static_cast<std::size_t>(projection.d_out), T{0});
    for (const WeightPiece& p : projection.bias) {
        const auto from = tensors[p.tensor].begin() + p.source_begin;
        std::copy(from, from + p.outputs, out.bias.begin() + p.target_begin);
    }
    return out;
}

template class Tensors<float>;
template class Tensors<double>;
template LinearMap<float> assemble(const Projection&, const Plan&, const Tensors<float>&);
template LinearMap<double> assemble(const Projection&, const Plan&, const Tensors<double>&);

}  // namespace attn
