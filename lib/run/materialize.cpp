#include "lib/run/materialize.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "lib/random/torch.hpp"

namespace attn {
namespace {

std::size_t elements(const TensorSource& t) { return static_cast<std::size_t>(*element_count(t.shape)); }

/// torch.rand, torch.randn, torch.nn.Embedding(num_embeddings, dim)(ids).
void draw(const TensorSource& t, std::span<float> out) {
    torch::Generator generator(t.seed);
    if (t.kind == TensorSource::Kind::embedding) {
        const auto dim = static_cast<std::size_t>(t.shape.back());
        std::vector<float> table(static_cast<std::size_t>(t.num_embeddings) * dim);
        torch::embedding(generator, table);
        auto to = out.begin();
        for (const Index id : t.ids)
            to = std::copy_n(table.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(id) * dim),
                             dim, to);
    } else if (t.kind == TensorSource::Kind::rand) {
        torch::uniform(generator, out, 0, 1);
    } else {
        torch::normal(generator, out);
    }
}

/// The drawn weights of a plan, in the order in which their tensors stand.
std::vector<std::vector<float>> draw_weights(const Plan& plan) {
    std::vector<const TensorSource*> places;
    for (const TensorSource& t : plan.tensors)
        if (t.kind == TensorSource::Kind::drawn_weight) places.push_back(&t);
    std::vector<std::vector<float>> out;
    torch::Generator generator(plan.init->seed);
    if (plan.init->kind == WeightsInit::Kind::multihead) {
        auto w = torch::multihead(
            generator, plan.projection(WeightRole::query).d_in, plan.init->bias.value_or(true), false,
            plan.projection(WeightRole::key).d_in, plan.projection(WeightRole::value).d_in);
        for (auto* part : {&w.in_proj_weight, &w.q_proj_weight, &w.k_proj_weight, &w.v_proj_weight,
                           &w.in_proj_bias, &w.out_proj_weight, &w.out_proj_bias})
            if (!part->empty()) out.push_back(std::move(*part));
        return out;
    }
    // A matrix is followed by its bias; torch.rand draws plain matrices, the output projection is always
    // nn.Linear.
    const bool rand = plan.init->kind == WeightsInit::Kind::rand;
    const TensorSource* const output =
        plan.has_output ? &plan.tensors[plan.projection(WeightRole::output).weight.front().tensor] : nullptr;
    for (std::size_t k = 0; k < places.size(); ++k) {
        std::vector<float> weight(elements(*places[k]));
        if (rand && places[k] != output) {
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
Tensors<T>::Tensors(const Plan& plan, Pool& pool) {
    std::vector<std::vector<float>> weights;
    if (plan.init) weights = draw_weights(plan);
    std::size_t next = 0;
    std::vector<std::size_t> to_draw;
    std::vector<std::span<T>> places;
    std::vector<bool> is_weight(plan.tensors.size());
    for (const Projection& projection : plan.projections)
        for (const WeightPiece& p : projection.weight) is_weight[p.tensor] = true;
    stored_.resize(plan.tensors.size());
    for (std::size_t k = 0; k < plan.tensors.size(); ++k) {
        const TensorSource& t = plan.tensors[k];
        if (const T* there = t.numbers.in_place<T>()) {
            places.emplace_back();
            numbers_.emplace_back(there, elements(t));
            continue;
        }
        if (t.kind == TensorSource::Kind::literal && is_weight[k]) {
            places.emplace_back();
            numbers_.emplace_back();
            stored_[k] = t.numbers;
            continue;
        }
        const std::span<T> out(memory_.take<T>(*element_count(t.shape)), elements(t));
        places.push_back(out);
        numbers_.push_back(out);
        if (t.kind == TensorSource::Kind::literal) {
            t.numbers.copy(out);
        } else if (t.kind == TensorSource::Kind::drawn_weight) {
            std::vector<float>& from = weights[next++];
            std::copy(from.begin(), from.end(), out.begin());
            from = {};
        } else {
            to_draw.push_back(places.size() - 1);
        }
    }
    pool.run(static_cast<Index>(to_draw.size()), [&](Index job, int) {
        const std::size_t k = to_draw[idx(job)];
        if constexpr (sizeof(T) == sizeof(float)) {
            draw(plan.tensors[k], places[k]);
        } else {
            std::vector<float> singles(places[k].size());
            draw(plan.tensors[k], singles);
            std::copy(singles.begin(), singles.end(), places[k].begin());
        }
    });
}

template <class T>
std::span<const T> Tensors<T>::operator[](std::size_t k) const {
    if (!stored_[k].empty()) throw std::logic_error("the weight of a projection is not held in this type");
    return numbers_[k];
}

template <class T>
void Tensors<T>::copy(std::size_t k, Index first, std::span<T> out) const {
    if (!stored_[k].empty()) return stored_[k].copy(out, first);
    std::copy_n(numbers_[k].begin() + first, out.size(), out.begin());
}

template <class T>
LinearMap<T>::LinearMap(const Projection& projection, const Plan& plan, const Tensors<T>& tensors)
    : projection_(projection), plan_(plan), tensors_(tensors) {
    if (projection.bias.empty()) return;
    bias_.assign(static_cast<std::size_t>(projection.d_out), T{0});
    for (const WeightPiece& p : projection.bias) {
        const auto from = tensors[p.tensor].begin() + p.source_begin;
        std::copy(from, from + p.outputs, bias_.begin() + p.target_begin);
    }
}

template <class T>
auto LinearMap<T>::stored(Index begin, Index end) const -> Stored {
    for (const WeightPiece& p : projection_.weight) {
        if (begin < p.target_begin || end > p.target_begin + p.outputs) continue;
        const std::span<const T> from = tensors_.in_place(p.tensor);
        if (from.empty()) return {};
        const Index stride = plan_.tensors[p.tensor].shape.back(),
                    first = p.source_begin + begin - p.target_begin;
        return {from.data() + p.base + first * (p.out_in ? stride : 1), stride, p.out_in};
    }
    return {};
}

template <class T>
std::vector<T> LinearMap<T>::copied(Index begin, Index end) const {
    const Index width = end - begin;
    std::vector<T> out(static_cast<std::size_t>(d_in() * width)), row;
    for (const WeightPiece& p : projection_.weight) {
        const TensorSource& source = plan_.tensors[p.tensor];
        const auto fetch = [&](Index at, std::span<T> to) { tensors_.copy(p.tensor, at, to); };
        const Index columns = source.shape.back();
        const Index from = std::max(begin, p.target_begin), to = std::min(end, p.target_begin + p.outputs);
        if (from >= to) continue;
        const Index first = p.source_begin + from - p.target_begin;
        if (!p.out_in) {
            for (Index i = 0; i < d_in(); ++i)
                fetch(p.base + i * columns + first,
                      {out.data() + i * width + from - begin, static_cast<std::size_t>(to - from)});
            continue;
        }
        row.resize(static_cast<std::size_t>(d_in()));
        for (Index j = 0; j < to - from; ++j) {
            fetch(p.base + (first + j) * columns, row);
            for (Index i = 0; i < d_in(); ++i) out[idx(i * width + from - begin + j)] = row[idx(i)];
        }
    }
    return out;
}

template class Tensors<float>;
template class Tensors<double>;
template class LinearMap<float>;
template class LinearMap<double>;

}  // namespace attn
