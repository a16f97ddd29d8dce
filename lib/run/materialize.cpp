#include "lib/run/materialize.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "lib/random/torch.hpp"

namespace attn {
namespace {

constexpr Index numbers_of_a_job = Index{1} << 18;

std::size_t elements(const TensorSource& t) { return static_cast<std::size_t>(*element_count(t.shape)); }

template <class D, class T>
std::vector<T> converted(std::vector<D> from) {
    if constexpr (std::is_same_v<D, T>)
        return from;
    else {
        std::vector<T> out(from.size());
        std::transform(from.begin(), from.end(), out.begin(), [](D v) { return static_cast<T>(v); });
        return out;
    }
}

/// torch.rand, torch.randn, torch.nn.Embedding(num_embeddings, dim)(ids), in the type D of PyTorch's tensor.
template <class D>
void draw_as(const TensorSource& t, torch::Generator& generator, std::span<D> out) {
    if (t.kind == TensorSource::Kind::embedding) {
        const auto dim = static_cast<std::size_t>(t.shape.back());
        std::vector<D> table(static_cast<std::size_t>(t.num_embeddings) * dim);
        torch::embedding(generator, std::span<D>(table));
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

template <class T>
void draw(const TensorSource& t, torch::Generator& generator, std::span<T> out) {
    if (t.doubles == (sizeof(T) == sizeof(double))) return draw_as(t, generator, out);
    const auto take = [&](auto zero) {
        std::vector<decltype(zero)> drawn(out.size(), zero);
        draw_as(t, generator, std::span(drawn));
        std::transform(drawn.begin(), drawn.end(), out.begin(), [](auto v) { return static_cast<T>(v); });
    };
    if (t.doubles)
        take(0.0);
    else
        take(0.0F);
}

/// The drawn weights of a plan, in the order in which their tensors stand, in the type D of PyTorch's
/// tensors.
template <class D>
std::vector<std::vector<D>> draw_weights_as(const Plan& plan, torch::Generator& generator) {
    std::vector<const TensorSource*> places;
    for (const TensorSource& t : plan.tensors)
        if (t.kind == TensorSource::Kind::drawn_weight) places.push_back(&t);
    std::vector<std::vector<D>> out;
    if (plan.init->kind == WeightsInit::Kind::multihead) {
        auto w = torch::multihead<D>(generator, plan.projection(WeightRole::query).d_in,
                                     plan.init->bias.value_or(true), plan.init->add_bias_kv,
                                     plan.projection(WeightRole::key).d_in,
                                     plan.projection(WeightRole::value).d_in);
        for (auto* part : {&w.in_proj_weight, &w.q_proj_weight, &w.k_proj_weight, &w.v_proj_weight,
                           &w.in_proj_bias, &w.out_proj_weight, &w.out_proj_bias, &w.bias_k, &w.bias_v})
            if (!part->empty()) out.push_back(std::move(*part));
        return out;
    }
    // A matrix is followed by its bias; torch.rand draws plain matrices, the output projection is always
    // nn.Linear.
    const bool rand = plan.init->kind == WeightsInit::Kind::rand;
    const TensorSource* const output =
        plan.has_output ? &plan.tensors[plan.projection(WeightRole::output).weight.front().tensor] : nullptr;
    for (std::size_t k = 0; k < places.size(); ++k) {
        std::vector<D> weight(elements(*places[k]));
        if (rand && places[k] != output) {
            torch::uniform(generator, std::span<D>(weight), 0, 1);
            out.push_back(std::move(weight));
            continue;
        }
        std::vector<D> bias;
        if (k + 1 < places.size() && places[k + 1]->shape.size() == 1) bias.resize(elements(*places[k + 1]));
        torch::linear(generator, places[k]->shape[1], std::span<D>(weight), std::span<D>(bias));
        out.push_back(std::move(weight));
        if (bias.empty()) continue;
        out.push_back(std::move(bias));
        ++k;
    }
    return out;
}

template <class T>
std::vector<std::vector<T>> draw_weights(const Plan& plan, torch::Generator& generator) {
    std::vector<std::vector<T>> out;
    const auto take = [&](auto drawn) {
        for (auto& part : drawn)
            out.push_back(converted<typename std::decay_t<decltype(part)>::value_type, T>(std::move(part)));
    };
    if (plan.init->doubles)
        take(draw_weights_as<double>(plan, generator));
    else
        take(draw_weights_as<float>(plan, generator));
    return out;
}

}  // namespace

Plan in_double(Plan plan) {
    for (TensorSource& t : plan.tensors) {
        const Element e = t.numbers.element();
        if (is_wide(plan.dtype) || t.numbers.empty() || e == Element::float32 ||
            size_of(e) < size_of(Element::float32))
            continue;
        std::vector<float> singles(idx(t.numbers.size()));
        t.numbers.copy(std::span<float>(singles));
        t.numbers = Numbers(std::move(singles));
    }
    plan.dtype = DType::float64;
    static_cast<Schedule&>(plan) = whole(plan);
    return plan;
}

template <class T>
Tensors<T>::Tensors(const Plan& plan, Pool& pool, const Needs* needs) {
    // What one generator draws, in its order.
    std::vector<std::vector<T>> weights, shared(plan.tensors.size());
    torch::Generator generator(plan.manual_seed);
    for (const Draw& d : plan.draws) {
        if (d.of == Draw::Of::weights) {
            weights = draw_weights<T>(plan, generator);
        } else if (d.of == Draw::Of::tensor) {
            shared[d.tensor].resize(elements(plan.tensors[d.tensor]));
            draw(plan.tensors[d.tensor], generator, std::span<T>(shared[d.tensor]));
        } else {
            dropout_start_ = generator;
            torch::skip_dropout(
                generator,
                plan.dropout->kind == DropoutKind::torch ? torch::DropoutGenerator::torch
                                                         : torch::DropoutGenerator::torch_mkl,
                plan.dropout->p,
                static_cast<std::uint64_t>(plan.batch * plan.heads * plan.queries * plan.keys));
        }
    }
    if (plan.init && !plan.init->shared) {
        torch::Generator own(plan.init->seed);
        weights = draw_weights<T>(plan, own);
    }
    std::size_t next = 0;
    struct Conversion {
        std::size_t tensor;
        Index first, count;
    };
    std::vector<Conversion> to_convert;
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
            const std::vector<NumberRange> whole{{0, static_cast<Index>(out.size())}};
            for (const NumberRange& r : needs ? numbers_read(plan, *needs, k) : whole)
                for (Index from = 0; from < r.count; from += numbers_of_a_job)
                    to_convert.push_back({k, r.first + from, std::min(numbers_of_a_job, r.count - from)});
        } else if (t.kind == TensorSource::Kind::drawn_weight) {
            std::vector<T>& from = weights[next++];
            std::copy(from.begin(), from.end(), out.begin());
            from = {};
        } else if (t.shared) {
            std::copy(shared[k].begin(), shared[k].end(), out.begin());
            shared[k] = {};
        } else {
            to_draw.push_back(places.size() - 1);
        }
    }
    pool.run(static_cast<Index>(to_convert.size()), [&](Index job, int) {
        const Conversion& c = to_convert[idx(job)];
        plan.tensors[c.tensor].numbers.copy(places[c.tensor].subspan(idx(c.first), idx(c.count)), c.first);
    });
    pool.run(static_cast<Index>(to_draw.size()), [&](Index job, int) {
        const std::size_t k = to_draw[idx(job)];
        torch::Generator own(plan.tensors[k].seed);
        draw(plan.tensors[k], own, places[k]);
    });
    for (std::size_t k = 0; k < places.size(); ++k)
        if (plan.tensors[k].kind != TensorSource::Kind::literal)
            plan.rounding(places[k].data(), static_cast<Index>(places[k].size()));
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
template <class F>
void LinearMap<T>::each_piece(Index begin, Index end, F&& f) const {
    for (const WeightPiece& p : projection_.weight) {
        const Index from = std::max(begin, p.target_begin), to = std::min(end, p.target_begin + p.outputs);
        if (from < to) f(p, p.source_begin + from - p.target_begin, from - begin, to - begin);
    }
}

template <class T>
std::vector<T> LinearMap<T>::copied(Index begin, Index end) const {
    const Index width = end - begin;
    std::vector<T> out(static_cast<std::size_t>(d_in() * width)), row;
    each_piece(begin, end, [&](const WeightPiece& p, Index first, Index from, Index to) {
        const Index columns = plan_.tensors[p.tensor].shape.back();
        if (!p.out_in) {
            for (Index i = 0; i < d_in(); ++i)
                tensors_.copy(p.tensor, p.base + i * columns + first,
                              {out.data() + i * width + from, static_cast<std::size_t>(to - from)});
            return;
        }
        row.resize(static_cast<std::size_t>(d_in()));
        for (Index j = from; j < to; ++j) {
            tensors_.copy(p.tensor, p.base + (first + j - from) * columns, row);
            for (Index i = 0; i < d_in(); ++i) out[idx(i * width + j)] = row[idx(i)];
        }
    });
    return out;
}

template <class T>
void LinearMap<T>::copy_transposed(Index begin, Index end, T* out) const {
    const Index depth = d_in();
    std::fill_n(out, (end - begin) * depth, T{0});  // columns that no tensor has
    std::vector<T> row;
    each_piece(begin, end, [&](const WeightPiece& p, Index first, Index from, Index to) {
        const Index columns = plan_.tensors[p.tensor].shape.back();
        if (p.out_in) {
            for (Index j = from; j < to; ++j)
                tensors_.copy(p.tensor, p.base + (first + j - from) * columns, {out + j * depth, idx(depth)});
            return;
        }
        row.resize(idx(to - from));
        for (Index i = 0; i < depth; ++i) {
            tensors_.copy(p.tensor, p.base + i * columns + first, row);
            for (Index j = from; j < to; ++j) out[j * depth + i] = row[idx(j - from)];
        }
    });
}

template class Tensors<float>;
template class Tensors<double>;
template class LinearMap<float>;
template class LinearMap<double>;

}  // namespace attn
